/* From reset to main: FPU on, .data copied, .bss cleared. */

#include <stdint.h>

extern uint32_t stack_top, data_source, data_begin, data_end, bss_begin, bss_end;
int main(void);
void reset(void);
void stopped(void);

/* Where it stands when something went wrong, for a debugger to find. */
void stopped(void) {
    for (;;) {
    }
}

void reset(void) {
    volatile uint32_t *const cpacr = (volatile uint32_t *)0xE000ED88u;
    *cpacr |= 0xFu << 20; /* coprocessors 10 and 11 */
    __asm__ volatile("dsb\n\tisb");
    for (uint32_t *to = &data_begin, *from = &data_source; to < &data_end;) *to++ = *from++;
    for (uint32_t *to = &bss_begin; to < &bss_end;) *to++ = 0;
    main();
    stopped();
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16] = {
    (uintptr_t)&stack_top, (uintptr_t)reset,   (uintptr_t)stopped, (uintptr_t)stopped,
    (uintptr_t)stopped,    (uintptr_t)stopped, (uintptr_t)stopped, 0,
    0,                     0,                  0,                  (uintptr_t)stopped,
    (uintptr_t)stopped,    0,                  (uintptr_t)stopped, (uintptr_t)stopped,
};
