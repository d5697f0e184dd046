/* Values looked up in metadata whose spelling is FORMAT.md's: without spaces, so that a value is a slice of the text. */

#include <string.h>

#include "sqz_private.h"

static const sqz_json nothing = {"", 0};

static char at(sqz_json value, size_t i) { return i < value.size ? value.text[i] : 0; }

static sqz_json after(sqz_json value, size_t n) {
    const sqz_json rest = {value.text + n, value.size - n};
    return n <= value.size ? rest : nothing;
}

static sqz_json first(sqz_json value, size_t n) {
    const sqz_json part = {value.text, n};
    return n <= value.size ? part : nothing;
}

sqz_json sqz_json_of(const sqz_file *file) {
    const sqz_json all = {(const char *)file->metadata, file->metadata_size};
    return all;
}

char sqz_json_type(sqz_json value) {
    const char c = at(value, 0);
    switch (c) {
    case '{':
        return 'o';
    case '[':
        return 'a';
    case '"':
        return 's';
    case 't':
    case 'f':
        return c;
    case 'n':
        return '0';
    default:
        return c == '-' || (c >= '0' && c <= '9') ? 'n' : 0;
    }
}

/* Bytes of the string that the text begins with, its quotes counted; 0: it has no end. */
static size_t string_size(sqz_json text) {
    for (size_t i = 1; i < text.size; ++i) {
        if (text.text[i] == '\\') {
            ++i;
        } else if (text.text[i] == '"') {
            return i + 1;
        }
    }
    return 0;
}

/* Bytes of the value that the text begins with; 0: none, or it has no end. */
static size_t value_size(sqz_json text) {
    size_t depth = 0, i = 0;
    while (i < text.size) {
        const char c = text.text[i];
        if (c == '"') {
            const size_t n = string_size(after(text, i));
            if (n == 0) {
                return 0;
            }
            i += n;
        } else if (c == '{' || c == '[') {
            ++depth, ++i;
        } else if (c == '}' || c == ']' || c == ',') {
            if (depth == 0) {
                return i;
            }
            depth -= c != ',';
            ++i;
        } else {
            ++i;
        }
        if (depth == 0 && (c == '"' || c == '}' || c == ']')) {
            return i;
        }
    }
    return depth == 0 ? i : 0;
}

/* Takes a value off the front of what is left of an array or an object, and the comma after it. */
static int take_value(sqz_json *rest, sqz_json *value) {
    const size_t n = value_size(*rest);
    if (n == 0) {
        return 0;
    }
    *value = first(*rest, n);
    *rest = after(*rest, at(*rest, n) == ',' ? n + 1 : n);
    return 1;
}

/* The same for a member. key: with its quotes. */
static int take_member(sqz_json *rest, sqz_json *key, sqz_json *value) {
    const size_t n = at(*rest, 0) == '"' ? string_size(*rest) : 0;
    if (n == 0 || at(*rest, n) != ':') {
        return 0;
    }
    *key = first(*rest, n);
    *rest = after(*rest, n + 1);
    return take_value(rest, value);
}

static int is_slice(sqz_json value, const char *string, size_t size) {
    return value.size == size + 2 && value.text[0] == '"' && memcmp(value.text + 1, string, size) == 0;
}

int sqz_json_equals(sqz_json value, const char *string) { return is_slice(value, string, strlen(string)); }

static sqz_status find_member(sqz_json object, const char *name, size_t size, sqz_json *member) {
    sqz_json rest = after(object, 1), key;
    if (sqz_json_type(object) == 'o') {
        while (take_member(&rest, &key, member)) {
            if (is_slice(key, name, size)) {
                return SQZ_OK;
            }
        }
    }
    *member = nothing;
    return SQZ_NOT_FOUND;
}

sqz_status sqz_json_member(sqz_json object, const char *key, sqz_json *member) {
    return find_member(object, key, strlen(key), member);
}

sqz_status sqz_json_item(sqz_json array, size_t index, sqz_json *item) {
    sqz_json rest = after(array, 1);
    if (sqz_json_type(array) == 'a') {
        while (take_value(&rest, item)) {
            if (index-- == 0) {
                return SQZ_OK;
            }
        }
    }
    *item = nothing;
    return SQZ_NOT_FOUND;
}

size_t sqz_json_length(sqz_json value) {
    const char type = sqz_json_type(value);
    sqz_json rest = after(value, 1), key, item;
    size_t n = 0;
    while (type == 'o' ? take_member(&rest, &key, &item) : type == 'a' && take_value(&rest, &item)) {
        ++n;
    }
    return n;
}

sqz_status sqz_json_find(sqz_json object, const char *path, sqz_json *value) {
    *value = object;
    for (;;) {
        const size_t size = strcspn(path, "/");
        SQZ_TRY(find_member(*value, path, size, value));
        if (path[size] == 0) {
            return SQZ_OK;
        }
        path += size + 1;
    }
}

sqz_status sqz_json_string(sqz_json value, char *string, size_t size) {
    static const char letters[] = "bfnrt", characters[] = "\b\f\n\r\t";
    size_t n = 0;
    if (sqz_json_type(value) != 's' || value.size < 2) {
        return SQZ_ARGUMENT;
    }
    for (size_t i = 1; i + 1 < value.size; ++i, ++n) {
        char c = value.text[i];
        if (c == '\\') {
            c = at(value, ++i);
            const char *const letter = c != 0 ? strchr(letters, c) : NULL;
            if (letter != NULL) {
                c = characters[letter - letters];
            } else if (c == 'u') { /* \u00xy */
                const char low = at(value, i + 4);
                c = (char)(16 * (at(value, i + 3) & 1) + (low >= 'a' ? low - 'a' + 10 : low - '0'));
                i += 4;
            }
        }
        if (n + 1 >= size) {
            return SQZ_MEMORY;
        }
        string[n] = c;
    }
    if (n >= size) {
        return SQZ_MEMORY;
    }
    string[n] = 0;
    return SQZ_OK;
}

sqz_status sqz_json_number(sqz_json value, double *number) {
    uint64_t digits = 0;
    int exponent = 0, written = 0, after_point = 0;
    size_t i = at(value, 0) == '-';
    if (sqz_json_type(value) != 'n') {
        return SQZ_ARGUMENT;
    }
    for (; i < value.size; ++i) {
        const char c = value.text[i];
        if (c == '.') {
            after_point = 1;
        } else if (c < '0' || c > '9') {
            break;
        } else if (digits < UINT64_MAX / 10 - 1) {
            digits = 10 * digits + (uint64_t)(c - '0');
            exponent -= after_point;
        } else {
            exponent += !after_point; /* beyond what a double tells apart */
        }
    }
    if (at(value, i) == 'e') {
        const int minus = at(value, ++i) == '-';
        for (++i; i < value.size && written < 1000 && value.text[i] >= '0' && value.text[i] <= '9'; ++i) {
            written = 10 * written + (value.text[i] - '0');
        }
        exponent += minus ? -written : written;
    }
    double result = (double)digits, power = 10.0;
    const int down = exponent < 0;
    for (unsigned n = (unsigned)(down ? -exponent : exponent); n > 0 && result > 0.0 && result < 1e308; n >>= 1) {
        if (n & 1) {
            result = down ? result / power : result * power;
        }
        power *= power;
    }
    *number = at(value, 0) == '-' ? -result : result;
    return SQZ_OK;
}

sqz_status sqz_json_numbers(sqz_json array, float *numbers, size_t n) {
    sqz_json rest = after(array, 1), item;
    if (sqz_json_type(array) != 'a' || sqz_json_length(array) != n) {
        return SQZ_ARGUMENT;
    }
    for (size_t i = 0; i < n && take_value(&rest, &item); ++i) {
        double number;
        SQZ_TRY(sqz_json_number(item, &number));
        numbers[i] = (float)number;
    }
    return SQZ_OK;
}
