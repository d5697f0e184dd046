/* Prints a JSON number as the library reads it: json_number TEXT */

#include <stdio.h>
#include <string.h>

#include "../sqz.h"

int main(int argc, char **argv) {
    double number = 0.0;
    if (argc != 2) {
        return 2;
    }
    const sqz_json value = {argv[1], strlen(argv[1])};
    if (sqz_json_number(value, &number) != SQZ_OK) {
        return 1;
    }
    printf("%.17g\n", number);
    return 0;
}
