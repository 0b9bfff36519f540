// Raw system calls for code that shares its memory with another process: unlike libc's, they touch
// no errno. Returns what the kernel returns: a result, or negative errno.
#pragma once

#include <sys/syscall.h>

#define OS_RAW(number, a, b, c, d) os_raw(number, (long)(a), (long)(b), (long)(c), (long)(d))

#if defined(__x86_64__)

static inline long os_raw(long number, long a, long b, long c, long d)
{
	register long fourth __asm__("r10") = d;
	register long fifth __asm__("r8") = 0; // prctl wants its unused ones to be 0
	long result;
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
	                 : "rcx", "r11", "memory");
	return result;
}

#elif defined(__aarch64__)

static inline long os_raw(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = 0; // prctl wants its unused ones to be 0
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}

#else
#error "raw system calls are written for x86_64 and aarch64 only"
#endif
