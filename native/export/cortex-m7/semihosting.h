/* Text to the debugger's console, or QEMU's, and the end of the program (Arm semihosting, SYS_WRITE0 and SYS_EXIT). */

#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

static inline int call_host(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static inline void tell(const char *text) { call_host(0x04, text); }

static inline void tell_number(int number) {
    char digits[12], *at = digits + sizeof digits - 1;
    unsigned rest = number < 0 ? 0u - (unsigned)number : (unsigned)number;
    *at = 0;
    do *--at = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (number < 0) *--at = '-';
    tell(at);
}

/* The host's exit code is 0 after ADP_Stopped_ApplicationExit, else 1. */
static inline void leave(int code) {
    call_host(0x18, (const void *)(code == 0 ? 0x20026u : 0x20023u));
    for (;;) {
    }
}

#endif
