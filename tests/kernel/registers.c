/* Copyright: pipework.containers contributors
 * GNU General Public License v3.0+ (see LICENSE)
 *
 * ptrace() for User-Mode Linux on processors with more registers than it has room for (AMX): its buffer is of 2,696
 * bytes, and the host takes the extended state of a process as a whole or not at all. What does not fit stays as it is.
 * See registers.py. Needs no header files. */
#define PTRACE 101L
#define PTRACE_PEEKTEXT 1
#define PTRACE_PEEKUSER 3
#define PTRACE_GETREGSET 0x4204
#define PTRACE_SETREGSET 0x4205
#define NT_X86_XSTATE 0x202UL

struct iovec {
	void *base;
	unsigned long length;
};

extern int *__errno_location(void);
static unsigned char whole[1 << 15];

static long call(long request, long pid, void *addr, void *data)
{
	register void *fourth __asm__("r10") = data;
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(PTRACE), "D"(request), "S"(pid), "d"(addr), "r"(fourth)
			 : "rcx", "r11", "memory");
	return result;
}

static long set_state(long pid, void *addr, const struct iovec *given)
{
	struct iovec all = { whole, sizeof(whole) };
	long result = call(PTRACE_GETREGSET, pid, addr, &all);
	unsigned long at;

	if (result != 0)
		return result;
	for (at = 0; at < given->length && at < all.length; at++)
		whole[at] = ((unsigned char *)given->base)[at];
	return call(PTRACE_SETREGSET, pid, addr, &all);
}

long ptrace(int request, int pid, void *addr, void *data)
{
	int peeks = request >= PTRACE_PEEKTEXT && request <= PTRACE_PEEKUSER;
	long value = 0, result;

	if (request == PTRACE_SETREGSET && (unsigned long)addr == NT_X86_XSTATE)
		result = set_state(pid, addr, data);
	else
		result = call(request, pid, addr, peeks ? &value : data);
	if (result < 0) {
		*__errno_location() = (int)-result;
		return -1;
	}
	if (peeks)
		*__errno_location() = 0;
	return peeks ? value : result;
}
