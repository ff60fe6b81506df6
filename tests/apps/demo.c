/* What `./dev run` shows: two leaks, an overrun of one byte, and a block freed twice. */
#include <stdlib.h>
#include <string.h>

struct guest {
    char *name;
    struct guest *next;
};

static struct guest *invite(const char *name, struct guest *next)
{
    struct guest *guest = malloc(sizeof *guest);
    guest->name = strdup(name);
    guest->next = next;
    return guest;
}

/* Leak: frees the guests, but not their names. */
static void send_home(struct guest *guest)
{
    while (guest) {
        struct guest *next = guest->next;
        free(guest);
        guest = next;
    }
}

/* Leak: the caller gets no way to free it. */
static size_t count_words(const char *text)
{
    char *copy = strdup(text);
    size_t count = 0;
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        count++;
    return count;
}

/* Overrun: no room for the terminating zero. */
static char *shout(const char *text)
{
    size_t length = strlen(text);
    char *loud = malloc(length);
    for (size_t i = 0; i < length; i++)
        loud[i] = text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i];
    loud[length] = 0;
    return loud;
}

static void end_of_party(char *music, int is_late)
{
    if (is_late)
        free(music);
    free(music); /* Double free, when it was late. */
}

int main(int argument_count, char **arguments)
{
    (void)arguments;
    send_home(invite("Ada", invite("Grace", invite("Barbara", NULL))));
    char *loud = shout("happy birthday");
    free(loud);
    end_of_party(malloc(100), argument_count > 0);
    return count_words("one two three") == 3 ? 0 : 1;
}
