/* The whole API against a naive model (tests/model.h): by one thread, by two and by sixteen. BMM_MODEL_OPERATIONS says how many
 * operations; apps/test_model asks for millions. */
#include "tests/model.h"
#include "tests/plain.h"

#include "brainmm/brainmm.h"

#include <pthread.h>

static unsigned long operations(void)
{
    const char *wanted = getenv("BMM_MODEL_OPERATIONS");
    return wanted != NULL ? strtoul(wanted, NULL, 10) : 60000;
}

static struct model models[16];

static void *run(void *argument)
{
    struct model *model = argument;
    unsigned long count = operations() / 16 + 1;
    model_run(model, count);
    return NULL;
}

static void say(const struct model *model)
{
    if (model->wrong != NULL)
        plain_stop(PLAIN_FAILED, "model.h:%d: not true after %lu operations: %s (a block of %zu bytes at %p, kind %d)",
                   model->wrong_line, model->operations, model->wrong, model->wrong_entry.size,
                   (void *)model->wrong_entry.start, (int)model->wrong_entry.kind);
}

PLAIN_TEST(one_thread)
{
    model_begin(&models[0], 1);
    model_run(&models[0], operations());
    model_end(&models[0]);
    say(&models[0]);
}

static void run_by(unsigned thread_count)
{
    pthread_t threads[16];
    for (unsigned i = 0; i < thread_count; i++) {
        model_begin(&models[i], 100 + i);
        pthread_create(&threads[i], NULL, run, &models[i]);
    }
    for (unsigned i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < thread_count; i++) { /* by another thread than who allocated */
        model_end(&models[i]);
        say(&models[i]);
    }
}

PLAIN_TEST(two_threads)
{
    run_by(2);
}

PLAIN_TEST(sixteen_threads)
{
    run_by(16);
}
