/* Stacks by hand, for tests of what is decided by names: "module!function" for each frame, innermost first.
 * "program" is the program, others are file names of libraries; a function may be missing. */
#ifndef BMM_TESTS_STACKS_H
#define BMM_TESTS_STACKS_H

#include "report/frame.h"
#include "report/role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_TEXT_FRAMES = 32 };

struct stack_text {
    struct bmm__stack stack;
    struct bmm__frame frames[STACK_TEXT_FRAMES];
    const struct bmm__frame *list[STACK_TEXT_FRAMES];
    char text[1024];
};

static inline const struct bmm__stack *stack_of_text(struct stack_text *made, const char *text)
{
    *made = (struct stack_text){ 0 };
    snprintf(made->text, sizeof made->text, "%s", text);
    char *rest = NULL;
    for (char *part = strtok_r(made->text, " ", &rest); part != NULL; part = strtok_r(NULL, " ", &rest)) {
        struct bmm__frame *frame = &made->frames[made->stack.count];
        char *mark = strchr(part, '!');
        if (mark != NULL)
            *mark = 0;
        frame->module = part;
        frame->function = mark != NULL && mark[1] != 0 ? mark + 1 : NULL;
        frame->role = (uint8_t)bmm__role_of_module(part);
        frame->export = bmm__frame_is_system(frame) ? frame->function : NULL;
        frame->offset = made->stack.count;
        bmm__frame_settle(frame);
        made->list[made->stack.count++] = frame;
    }
    made->stack.frames = made->list;
    return &made->stack;
}

#endif
