/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* bcc carries a copy of the kernel's bpf.h; it is all that the programs need. */
#include <bcc/bpf.h>
