/* What the net sees in its example picture, told by semihosting. A product has its camera's pixels in place of the picture: they may
 * lie in the last bytes of `memory`. */

#include "model.h"
#include "semihosting.h"
#include "sqz_net.h"

static float memory[(MODEL_MEMORY + sizeof(float) - 1) / sizeof(float)];
static float logits[MODEL_CLASSES];
static sqz_file file;
static sqz_net net;

static void stop_unless_ok(sqz_status status) {
    if (status == SQZ_OK) return;
    tell("error: ");
    tell(sqz_status_name(status));
    tell("\n");
    leave(1);
}

int main(void) {
    const sqz_image image = {model_picture, 0};
    stop_unless_ok(sqz_open(&file, model, MODEL_SIZE, 0));
    stop_unless_ok(sqz_verify(&file));
    stop_unless_ok(sqz_net_open(&net, &file));
    stop_unless_ok(sqz_net_run(&net, MODEL_MODE, 0, model_ranges, &image, memory, sizeof memory, logits));
    for (int rank = 0; rank < 5 && rank < MODEL_CLASSES; rank++) {
        int best = 0;
        for (int i = 1; i < MODEL_CLASSES; i++)
            if (logits[i] > logits[best]) best = i;
        tell_number((int)(logits[best] * 1000.0f));
        tell(" / 1000  ");
        tell_number(best);
        tell(" ");
        tell(model_classes[best]);
        tell("\n");
        logits[best] = -1e30f;
    }
    leave(0);
    return 0;
}
