/* What live blocks are, as far as their first word says it: objects of C++ and FreePascal begin with the address of their
 * class's table of virtual methods, which has a name in its module's symbols. Here are counted, for each stack and kind, the
 * blocks whose first word is an address in a module; which of those are such tables the report finds out.
 *
 * Of the contents of a block nothing else is read, and nothing that is no address in a module is kept.
 */
#ifndef BMM_TYPE_H
#define BMM_TYPE_H

/* At the end of the process, once: makes BMM_CHUNK_TYPES. No lock, no allocation but the chunk. */
void bmm__type_count_all(void);

#endif
