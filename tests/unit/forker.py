"""The end of a script: on a line of input it forks until the kernel refuses."""

# It prints how often that went well, and the errno.
FORK_UNTIL_REFUSED = """
print("ready", flush=True)
children = []
try:
    while sys.stdin.readline():
        while True:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
except OSError as error:
    print(len(children), errno.errorcode[error.errno], flush=True)
finally:
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
"""
