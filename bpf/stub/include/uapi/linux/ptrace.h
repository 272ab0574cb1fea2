/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The registers of a kprobe's context, as bcc's PT_REGS_PARM and PT_REGS_RC name them. */
#if defined(__x86_64__)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__aarch64__)
struct pt_regs {
	unsigned long regs[31], sp, pc, pstate;
};
struct user_pt_regs {
	unsigned long regs[31], sp, pc, pstate;
};
#else
#error "kprobes are known for x86-64 and arm64 only"
#endif
