#define _GNU_SOURCE
#include "report/symbol_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "symbols-1.db" /* the number: of what stands in a row */
#define BYTES_MAX (64 << 20)     /* a file that is larger is begun anew */
#define BUSY_MS 50               /* how long we wait for another report that writes */
#define FRAMES_MAX 4000000       /* that one report adds */

struct row {
    uint32_t line, is_inlined, function, file, export, callee;
};

struct addition {
    uint8_t build_id[20];
    uint32_t build_id_bytes;
    uint64_t address;
    uint32_t first, count; /* in added_frames */
};

struct bmm__symbol_cache {
    struct bmm__strings *strings;
    char *path;
    int64_t maker;
    sqlite3 *db; /* for reading; NULL: there is no file yet */
    sqlite3_stmt *find_chain, *find_text;
    struct bmm__map numbers; /* of texts that were read → texts */
    const char **texts;
    uint32_t text_count, text_capacity;
    struct addition *additions;
    uint32_t addition_count, addition_capacity;
    const struct bmm__frame **added_frames;
    uint32_t added_count, added_capacity;
};

/* ---- where ---- */

/* "" : nowhere. */
static void find_directory(char *path, size_t bytes)
{
    const char *own = getenv("BRAINMM_CACHE"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = -1;
    if (own != NULL && own[0] != 0)
        length = strcmp(own, "off") == 0 ? -1 : snprintf(path, bytes, "%s", own);
    else if (cache != NULL && cache[0] == '/')
        length = snprintf(path, bytes, "%s/brainmm", cache);
    else if (home != NULL && home[0] == '/')
        length = snprintf(path, bytes, "%s/.cache/brainmm", home);
    if (length < 0 || (size_t)length >= bytes)
        path[0] = 0;
}

/* The deepest directory of the path that exists is the user's. */
static bool is_users(const char *path)
{
    char parent[4096];
    snprintf(parent, sizeof parent, "%s", path);
    struct stat status;
    while (stat(parent, &status) != 0) {
        char *slash = strrchr(parent, '/');
        if (errno != ENOENT || slash == NULL || slash == parent)
            return false;
        *slash = 0;
    }
    return S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

static void make_directories(const char *path)
{
    char part[4096];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(part, 0700);
        *slash = '/';
    }
}

static int64_t find_maker(void)
{
    struct stat status;
    if (stat("/proc/self/exe", &status) != 0)
        return 0;
    int64_t words[3] = { status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec };
    return (int64_t)bmm__hash(BMM__HASH_SEED, words, sizeof words);
}

/* ---- life ---- */

static void close_reader(struct bmm__symbol_cache *cache)
{
    sqlite3_finalize(cache->find_chain);
    sqlite3_finalize(cache->find_text);
    sqlite3_close(cache->db);
    cache->find_chain = cache->find_text = NULL;
    cache->db = NULL;
}

/* A file that is none of ours any more. */
static void drop(struct bmm__symbol_cache *cache, int status)
{
    close_reader(cache);
    if (status == SQLITE_CORRUPT || status == SQLITE_NOTADB)
        unlink(cache->path);
}

static bool open_database(const char *path, int flags, sqlite3 **db)
{
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) /* a FIFO would be waited for */
        return false;
    if (sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOFOLLOW, NULL) == SQLITE_OK) {
        sqlite3_busy_timeout(*db, BUSY_MS);
        sqlite3_exec(*db, "PRAGMA trusted_schema=OFF; PRAGMA synchronous=OFF; PRAGMA cell_size_check=ON", NULL, NULL,
                     NULL);
        return true;
    }
    sqlite3_close(*db);
    *db = NULL;
    return false;
}

/* One transaction: a lock is taken once, with the first row that is asked for, and not for every address. */
static void begin(const struct bmm__symbol_cache *cache)
{
    sqlite3_exec(cache->db, "BEGIN", NULL, NULL, NULL);
}

void bmm__symbol_cache_release(struct bmm__symbol_cache *cache)
{
    if (cache == NULL || cache->db == NULL)
        return;
    sqlite3_exec(cache->db, "COMMIT", NULL, NULL, NULL);
    begin(cache);
}

struct bmm__symbol_cache *bmm__symbol_cache_open(struct bmm__strings *strings)
{
    char directory[4000];
    find_directory(directory, sizeof directory);
    int64_t maker = find_maker();
    if (directory[0] == 0 || maker == 0 || !is_users(directory))
        return NULL;
    struct bmm__symbol_cache *cache = bmm__must_zero(1, sizeof *cache);
    cache->strings = strings;
    cache->maker = maker;
    if (asprintf(&cache->path, "%s/%s", directory, FILE_NAME) < 0) {
        free(cache);
        return NULL;
    }
    if (!open_database(cache->path, SQLITE_OPEN_READONLY, &cache->db))
        return cache;
    begin(cache);
    int status = sqlite3_prepare_v2(cache->db, "SELECT frames FROM chains WHERE build_id=? AND address=? AND maker=?",
                                    -1, &cache->find_chain, NULL);
    if (status == SQLITE_OK)
        status = sqlite3_prepare_v2(cache->db, "SELECT text FROM texts WHERE number=?", -1, &cache->find_text, NULL);
    if (status != SQLITE_OK)
        drop(cache, status);
    return cache;
}

/* ---- rows ---- */

/* The one row of a look-up, for `take`. */
static int look_up(struct bmm__symbol_cache *cache, sqlite3_stmt *statement,
                   void (*take)(struct bmm__symbol_cache *cache, sqlite3_stmt *statement, void *result), void *result)
{
    int status = sqlite3_step(statement);
    if (status == SQLITE_ROW)
        take(cache, statement, result);
    sqlite3_reset(statement);
    return status == SQLITE_ROW || status == SQLITE_DONE ? SQLITE_OK : status;
}

static void take_text(struct bmm__symbol_cache *cache, sqlite3_stmt *statement, void *result)
{
    *(const char **)result = bmm__intern(cache->strings, (const char *)sqlite3_column_text(statement, 0));
}

/* NULL: there is no such text. */
static const char *text_of(struct bmm__symbol_cache *cache, uint32_t number)
{
    bool is_new;
    uint32_t index = bmm__map_put(&cache->numbers, number, 0, cache->text_count, &is_new);
    if (is_new) {
        const char *text = NULL;
        sqlite3_bind_int64(cache->find_text, 1, number);
        look_up(cache, cache->find_text, take_text, &text);
        cache->texts =
            bmm__grow(cache->texts, &cache->text_capacity, (size_t)cache->text_count + 1, sizeof *cache->texts);
        cache->texts[cache->text_count++] = text;
    }
    return cache->texts[index];
}

struct found {
    struct bmm__frame *frames;
    uint32_t count, capacity;
};

static bool take_text_of(struct bmm__symbol_cache *cache, uint32_t number, const char **text)
{
    *text = number != 0 ? text_of(cache, number) : NULL;
    return number == 0 || *text != NULL;
}

static bool take_frame(struct bmm__symbol_cache *cache, const struct row *row, struct bmm__frame *frame)
{
    *frame = (struct bmm__frame){ .line = row->line, .is_inlined = row->is_inlined != 0 };
    return take_text_of(cache, row->function, &frame->function) && take_text_of(cache, row->file, &frame->file) &&
           take_text_of(cache, row->export, &frame->export) && take_text_of(cache, row->callee, &frame->callee);
}

static void take_frames(struct bmm__symbol_cache *cache, sqlite3_stmt *statement, void *result)
{
    struct found *found = result;
    const char *bytes = sqlite3_column_blob(statement, 0);
    size_t size = (size_t)sqlite3_column_bytes(statement, 0);
    uint32_t count = (uint32_t)(size / sizeof(struct row));
    if (bytes == NULL || count == 0 || count > found->capacity || size % sizeof(struct row) != 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct row row;
        memcpy(&row, bytes + i * sizeof row, sizeof row);
        if ((row.is_inlined != 0) != (i + 1 < count) || !take_frame(cache, &row, &found->frames[i])) /* C2 */
            return;
    }
    found->count = count;
}

static void take_nothing(struct bmm__symbol_cache *cache, sqlite3_stmt *statement, void *result)
{
    (void)cache, (void)statement;
    *(bool *)result = true;
}

bool bmm__symbol_cache_has(struct bmm__symbol_cache *cache, const uint8_t *build_id, uint32_t build_id_bytes)
{
    bool has_any = false;
    sqlite3_stmt *statement = NULL;
    if (cache->db == NULL)
        return false;
    int status = sqlite3_prepare_v2(cache->db, "SELECT 1 FROM chains WHERE build_id=? LIMIT 1", -1, &statement, NULL);
    if (status == SQLITE_OK) {
        sqlite3_bind_blob(statement, 1, build_id, (int)build_id_bytes, SQLITE_STATIC);
        status = look_up(cache, statement, take_nothing, &has_any);
    }
    sqlite3_finalize(statement);
    if (status != SQLITE_OK)
        drop(cache, status);
    return has_any;
}

uint32_t bmm__symbol_cache_find(struct bmm__symbol_cache *cache, const uint8_t *build_id, uint32_t build_id_bytes,
                                uint64_t address, struct bmm__frame *frames, uint32_t capacity)
{
    if (cache->find_chain == NULL)
        return 0;
    struct found found = { frames, 0, capacity };
    sqlite3_bind_blob(cache->find_chain, 1, build_id, (int)build_id_bytes, SQLITE_STATIC);
    sqlite3_bind_int64(cache->find_chain, 2, (int64_t)address);
    sqlite3_bind_int64(cache->find_chain, 3, cache->maker);
    int status = look_up(cache, cache->find_chain, take_frames, &found);
    if (status != SQLITE_OK)
        drop(cache, status);
    return found.count;
}

void bmm__symbol_cache_add(struct bmm__symbol_cache *cache, const uint8_t *build_id, uint32_t build_id_bytes,
                           uint64_t address, const struct bmm__frame *const *frames, uint32_t count)
{
    struct addition addition = { .build_id_bytes = build_id_bytes, .address = address, .first = cache->added_count };
    addition.count = count;
    if (build_id_bytes == 0 || build_id_bytes > sizeof addition.build_id || cache->added_count > FRAMES_MAX)
        return;
    memcpy(addition.build_id, build_id, build_id_bytes);
    cache->added_frames = bmm__grow(cache->added_frames, &cache->added_capacity, (size_t)cache->added_count + count,
                                    sizeof *cache->added_frames);
    for (uint32_t i = 0; i < count; i++)
        cache->added_frames[cache->added_count++] = frames[i];
    cache->additions = bmm__grow(cache->additions, &cache->addition_capacity, (size_t)cache->addition_count + 1,
                                 sizeof *cache->additions);
    cache->additions[cache->addition_count++] = addition;
}

/* ---- writing ---- */

/* What writes the additions: texts get new numbers, the same within this report. */
struct writing {
    const struct bmm__symbol_cache *cache;
    sqlite3_stmt *chain, *text;
    struct bmm__map numbers; /* pointer of a text → its number - first */
    uint32_t first;
    int status;
};

static void insert(struct writing *w, sqlite3_stmt *statement)
{
    if (w->status == SQLITE_OK)
        w->status = sqlite3_step(statement);
    if (w->status == SQLITE_DONE)
        w->status = sqlite3_reset(statement);
}

static uint32_t number_of(struct writing *w, const char *text)
{
    if (text == NULL)
        return 0;
    bool is_new;
    uint32_t number = w->first + bmm__map_put(&w->numbers, (uintptr_t)text, 0, w->numbers.count, &is_new);
    if (is_new) {
        sqlite3_bind_int64(w->text, 1, number);
        sqlite3_bind_text(w->text, 2, text, -1, SQLITE_STATIC);
        insert(w, w->text);
    }
    return number;
}

static void insert_addition(struct writing *w, const struct addition *addition, struct row *rows)
{
    for (uint32_t i = 0; i < addition->count; i++) {
        const struct bmm__frame *frame = w->cache->added_frames[addition->first + i];
        rows[i] = (struct row){ frame->line,
                                frame->is_inlined,
                                number_of(w, frame->function),
                                number_of(w, frame->file),
                                number_of(w, frame->export),
                                number_of(w, frame->callee) };
    }
    sqlite3_bind_blob(w->chain, 1, addition->build_id, (int)addition->build_id_bytes, SQLITE_STATIC);
    sqlite3_bind_int64(w->chain, 2, (int64_t)addition->address);
    sqlite3_bind_int64(w->chain, 3, w->cache->maker);
    sqlite3_bind_blob(w->chain, 4, rows, (int)(addition->count * sizeof *rows), SQLITE_STATIC);
    insert(w, w->chain);
}

static int first_number(sqlite3 *db, uint32_t *first)
{
    sqlite3_stmt *statement = NULL;
    int status = sqlite3_prepare_v2(db, "SELECT coalesce(max(number), 0) + 1 FROM texts", -1, &statement, NULL);
    if (status == SQLITE_OK && (status = sqlite3_step(statement)) == SQLITE_ROW) {
        int64_t number = sqlite3_column_int64(statement, 0);
        *first = (uint32_t)number;
        status = number > 0 && number < INT32_MAX ? SQLITE_OK : SQLITE_CORRUPT;
    }
    sqlite3_finalize(statement);
    return status;
}

static int insert_all(const struct bmm__symbol_cache *cache, sqlite3 *db)
{
    struct writing w = { .cache = cache };
    w.status = first_number(db, &w.first);
    if (w.status == SQLITE_OK)
        w.status = sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO chains VALUES (?,?,?,?)", -1, &w.chain, NULL);
    if (w.status == SQLITE_OK)
        w.status = sqlite3_prepare_v2(db, "INSERT INTO texts VALUES (?,?)", -1, &w.text, NULL);
    struct row *rows = bmm__must_alloc(cache->added_count * sizeof *rows);
    for (uint32_t i = 0; i < cache->addition_count && w.status == SQLITE_OK; i++)
        insert_addition(&w, &cache->additions[i], rows);
    free(rows);
    sqlite3_finalize(w.chain);
    sqlite3_finalize(w.text);
    bmm__map_free(&w.numbers);
    return w.status;
}

static void write_additions(struct bmm__symbol_cache *cache)
{
    make_directories(cache->path);
    struct stat status;
    if (lstat(cache->path, &status) == 0 && status.st_size > BYTES_MAX)
        unlink(cache->path);
    int file = open(cache->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                    0600); /* SQLite would make it for others to read */
    if (file < 0)
        return;
    close(file);
    sqlite3 *db;
    if (!open_database(cache->path, SQLITE_OPEN_READWRITE, &db))
        return;
    int result =
        sqlite3_exec(db,
                     "BEGIN IMMEDIATE;"
                     "CREATE TABLE IF NOT EXISTS chains (build_id BLOB, address INTEGER, maker INTEGER, frames BLOB, "
                     "PRIMARY KEY (build_id, address, maker)) WITHOUT ROWID;"
                     "CREATE TABLE IF NOT EXISTS texts (number INTEGER PRIMARY KEY, text TEXT)",
                     NULL, NULL, NULL);
    if (result == SQLITE_OK)
        result = insert_all(cache, db);
    if (result == SQLITE_OK)
        result = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(db); /* an open transaction is rolled back */
    if (result == SQLITE_CORRUPT || result == SQLITE_NOTADB)
        unlink(cache->path);
}

void bmm__symbol_cache_close(struct bmm__symbol_cache *cache)
{
    if (cache == NULL)
        return;
    close_reader(cache);
    if (cache->addition_count > 0)
        write_additions(cache);
    bmm__map_free(&cache->numbers);
    free(cache->texts);
    free(cache->additions);
    free(cache->added_frames);
    free(cache->path);
    free(cache);
}
