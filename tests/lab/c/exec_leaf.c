/*
 * The program a storm execs: `exec_leaf 7 ...` exits with 7, `exec_leaf -9 ...` sends itself signal 9,
 * `exec_leaf + ...` sleeps until it is killed. Further arguments are for the observer. Compiled freestanding it has no C library, and exec costs what the kernel takes.
 */
#include <asm/unistd.h>

#if defined(__x86_64__)
#define START "mov %rsp, %rdi\n\tand $-16, %rsp\n\tcall enter\n"

static long call(long number, long a, long b)
{
	long result;

	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b) : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
#define START "mov x0, sp\n\tbl enter\n"

static long call(long number, long a, long b)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
	return x0;
}
#else
#error "exec_leaf has no system call for this architecture"
#endif

__attribute__((noreturn)) static void leaf(long argc, char **argv)
{
	const char *digit = argc > 1 ? argv[1] : "0";
	int kills = *digit == '-';
	int number = 0;
	unsigned long no_signals = 0;

	while (*digit == '+')
		call(__NR_rt_sigsuspend, (long)&no_signals, sizeof(no_signals));
	for (digit += kills; *digit; digit++)
		number = number * 10 + *digit - '0';
	if (kills)
		call(__NR_kill, call(__NR_getpid, 0, 0), number);
	for (;;)
		call(__NR_exit_group, number, 0);
}

#if __STDC_HOSTED__
int main(int argc, char **argv)
{
	leaf(argc, argv);
}
#else
__asm__(".globl _start\n_start:\n\t" START);

__attribute__((noreturn, used)) void enter(long *stack)
{
	leaf(stack[0], (char **)(stack + 1));
}
#endif
