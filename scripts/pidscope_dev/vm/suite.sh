# Makes systemd process 1 of a guest whose root is a Debian suite's (scripts/vm --systemd). Read by
# guest.sh.

# Without an id it is a first boot, and systemd enables all that there is.
echo 00000000000000000000000000000015 >/etc/machine-id
# The form of the cgroups is systemd's to choose, by the kernel's arguments.
$bb umount /sys/fs/cgroup
# Neither a login nor a device is waited for.
for unit in getty.target systemd-udev-settle.service systemd-resolved.service \
    systemd-networkd-wait-online.service; do
    $bb ln -sf /dev/null /etc/systemd/system/$unit
done
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec /usr/lib/systemd/systemd --log-level=warning --log-target=console
