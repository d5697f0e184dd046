/* Where there is no libc: what libc.c has. */
#ifndef SQZ_WEB_STRING_H
#define SQZ_WEB_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
size_t strcspn(const char *text, const char *stops);
char *strchr(const char *text, int character);

#endif
