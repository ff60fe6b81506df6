/* What is written: against golden files, through SQL, and read back to the same report.
 * After an intended change BMM_UPDATE_GOLDEN=1 writes the golden files anew. */
#define _GNU_SOURCE
#include "make_snapshot.h"
#include "report/load.h"
#include "report/output.h"
#include "report/write_json.h"
#include "report/write_text.h"
#include "sample.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

static char *read_whole(const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = fopen(path, "r"), *memory = open_memstream(&text, &bytes);
    int byte;
    while (file != NULL && (byte = fgetc(file)) != EOF)
        fputc(byte, memory);
    if (file != NULL)
        fclose(file);
    fclose(memory);
    return text;
}

static char *print(const struct bmm__report *report, enum bmm__format format, const struct bmm__text_options *options)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (format == BMM_FORMAT_JSON)
        bmm__write_json(report, memory);
    else
        bmm__write_text(report, memory, options);
    fclose(memory);
    return text;
}

static void compare_with_golden(const char *text, const char *name)
{
    char path[PATH_MAX];
    const char *source = getenv("BMM_SOURCE");
    snprintf(path, sizeof path, "%s/tests/golden/%s", source != NULL ? source : ".", name);
    if (getenv("BMM_UPDATE_GOLDEN") != NULL)
        made_write_bytes(path, text, strlen(text));
    char *golden = read_whole(path);
    cr_expect_str_eq(text, golden, "%s differs from what is written:\n%s", path, text);
    free(golden);
}

Test(write, json_and_text_are_as_they_were)
{
    struct bmm__report *report = sample_report();
    char *json = print(report, BMM_FORMAT_JSON, NULL);
    compare_with_golden(json, "report.json");
    cJSON *root = cJSON_Parse(json);
    cr_expect_not_null(root);
    cJSON_Delete(root);
    char *text = print(report, BMM_FORMAT_TEXT, &(struct bmm__text_options){ 0 });
    compare_with_golden(text, "report.txt");
    free(text);
    free(json);
    bmm__report_free(report);
}

Test(write, limits_colours_and_contents)
{
    struct bmm__report *report = sample_report();
    struct bmm__text_options options = { .leak_limit = 1, .error_limit = 1, .frame_limit = 1 };
    char *text = print(report, BMM_FORMAT_TEXT, &options);
    cr_expect_not_null(strstr(text, "… 1 more leaks (--all shows them)"));
    cr_expect_not_null(strstr(text, "… 1 more errors (--all shows them)"));
    cr_expect_not_null(strstr(text, "… 3 more frames"));
    cr_expect_null(strstr(text, "\033"));
    cr_expect_null(strstr(text, "as text"), "contents only if asked for");
    free(text);
    options = (struct bmm__text_options){ .is_coloured = true, .is_contents = true };
    text = print(report, BMM_FORMAT_TEXT, &options);
    cr_expect_not_null(strstr(text, "\033"));
    cr_expect_not_null(strstr(text, "found as text: \"A.\""));
    free(text);
    bmm__report_free(report);
}

Test(write, a_clean_run_is_one_line)
{
    static const char *command[] = { "true" };
    struct bmm__report *report = bmm__report_make();
    *bmm__report_add_process(report) = (struct bmm__process){
        .pid = 5, .command = command, .command_count = 1, .check = { .mode = "check", .ran = true }, .state = "exited"
    };
    bmm__report_finish(report);
    char *text = print(report, BMM_FORMAT_TEXT, &(struct bmm__text_options){ 0 });
    cr_expect_str_eq(text, "brainmm: true (pid 5): mode check, ran: no errors, no leaks\n");
    free(text);
    report->check = (struct bmm__check){ .mode = "check", .reason = "it was not there" };
    text = print(report, BMM_FORMAT_TEXT, &(struct bmm__text_options){ 0 });
    cr_expect_str_eq(text, "brainmm: true (pid 5): the check did not run: it was not there\n");
    free(text);
    bmm__report_free(report);
}

Test(write, control_characters_do_not_reach_the_terminal)
{
    static const char *command[] = { "evil\033[2J" };
    struct bmm__report *report = bmm__report_make();
    *bmm__report_add_process(report) = (struct bmm__process){
        .pid = 5, .command = command, .command_count = 1, .check = { .mode = "leak", .ran = true }, .state = "exited"
    };
    bmm__report_finish(report);
    char *text = print(report, BMM_FORMAT_TEXT, &(struct bmm__text_options){ 0 });
    cr_expect_null(strchr(text, '\033'));
    free(text);
    bmm__report_free(report);
}

/* Through every format: a gate may read the report only. */
Test(write, an_incomplete_check_is_said)
{
    static const char *command[] = { "big" };
    struct bmm__report *report = bmm__report_make();
    *bmm__report_add_process(report) = (struct bmm__process){
        .pid = 5, .command = command, .command_count = 1, .check = { "leak", true, NULL, false }, .state = "exited"
    };
    *bmm__report_add_process(report) = (struct bmm__process){ .pid = 6,
                                                              .command = command,
                                                              .command_count = 1,
                                                              .check = { "leak", true, "it was full", true },
                                                              .state = "exited" };
    bmm__report_finish(report);
    static const char *const names[] = { "part.json", "part.db" };
    for (int i = 0; i < 2; i++) {
        struct bmm__why why = { "" };
        const char *path = made_path(names[i]);
        cr_assert(bmm__output_write(report, bmm__format_of_path(path), path, false, &why), "%s", why.text);
        struct bmm__report *again = bmm__report_make();
        cr_assert(bmm__report_load(again, NULL, path, &why), "%s", why.text);
        bmm__report_finish(again);
        cr_expect(again->check.ran && again->check.is_incomplete);
        cr_expect_str_eq(again->check.reason, "process 6: it was full");
        cr_expect(!again->processes[0].check.is_incomplete && again->processes[1].check.is_incomplete);
        char *text = print(again, BMM_FORMAT_TEXT, &(struct bmm__text_options){ .is_coloured = true });
        cr_expect_not_null(strstr(text, "ran, \033[1;31mincomplete\033[0m: no leaks\033[0m in"), "%s", text);
        free(text);
        unlink(path);
        bmm__report_free(again);
    }
    bmm__report_free(report);
}

static void replace(char *text, const char *from, const char *to)
{
    for (char *at = text; (at = strstr(at, from)) != NULL; at += strlen(to))
        memcpy(at, to, strlen(to));
}

Test(write, what_is_read_back_is_the_same)
{
    struct bmm__report *report = sample_report();
    char *before = print(report, BMM_FORMAT_JSON, NULL);
    struct bmm__why why = { "" };
    static const char *const names[] = { "back.json", "back.db" };
    for (int i = 0; i < 2; i++) {
        const char *path = made_path(names[i]);
        cr_assert(bmm__output_write(report, bmm__format_of_path(path), path, false, &why), "%s", why.text);
        struct bmm__report *again = bmm__report_make();
        cr_assert(bmm__report_load(again, NULL, path, &why), "%s", why.text);
        bmm__report_finish(again);
        char *after = print(again, BMM_FORMAT_JSON, NULL);
        if (i == 0) { /* cJSON's doubles: the one number above 2^53 */
            replace(after, "9007199254740992", "9007199254740993");
            replace(after, "9007199254741022", "9007199254741023");
            replace(after, "1700000000123456768", "1700000000123456789");
        }
        cr_expect_str_eq(after, before, "%s", names[i]);
        free(after);
        unlink(path);
        bmm__report_free(again);
    }
    free(before);
    bmm__report_free(report);
}

static char *query(sqlite3 *db, const char *sql)
{
    static char text[4096];
    sqlite3_stmt *statement;
    text[0] = 0;
    cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
    while (sqlite3_step(statement) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const char *value = (const char *)sqlite3_column_text(statement, i);
            size_t used = strlen(text);
            snprintf(text + used, sizeof text - used, "%s%s", value != NULL ? value : "NULL",
                     i + 1 < sqlite3_column_count(statement) ? "|" : "\n");
        }
    sqlite3_finalize(statement);
    return text;
}

Test(write, a_stranger_can_query_the_database)
{
    struct bmm__report *report = sample_report();
    struct bmm__why why = { "" };
    const char *path = made_path("query.db");
    cr_assert(bmm__output_write(report, BMM_FORMAT_SQLITE, path, false, &why), "%s", why.text);
    sqlite3 *db;
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_expect_str_eq(query(db, "SELECT pid, kind, bytes, blocks, function, file, line FROM v_leaks WHERE bytes < 100"),
                     "100|malloc|30|3|copy(char const*)|guests.cc|7\n");
    cr_expect_str_eq(query(db, "SELECT bytes FROM v_leaks ORDER BY bytes DESC LIMIT 1"), "9007199254740993\n");
    cr_expect_str_eq(query(db, "SELECT kind, address, repeats FROM v_errors ORDER BY id"),
                     "heap-overflow|0x7f1234567890|1\nsized-delete-mismatch|0xffffffffffff0000|4\n");
    cr_expect_str_eq(query(db, "SELECT function, bytes, own_bytes FROM v_leaks_by_function WHERE function IN"
                               " ('invite', 'strdup') ORDER BY 1"),
                     "invite|30|0\nstrdup|30|30\n");
    cr_expect_str_eq(query(db, "SELECT offset, expected, found FROM error_changes"), "10|253|65\n12|253|0\n");
    cr_expect_str_eq(query(db, "SELECT value FROM meta WHERE key = 'ran'"), "1\n");
    cr_expect_str_eq(query(db, "PRAGMA integrity_check"), "ok\n");
    cr_expect_str_eq(query(db, "PRAGMA foreign_key_check"), "");
    sqlite3_close(db);
    unlink(path);
    bmm__report_free(report);
}

Test(write, names_say_the_format)
{
    cr_expect_eq(bmm__format_of_path("a.json"), BMM_FORMAT_JSON);
    cr_expect_eq(bmm__format_of_path("a.b/c.db"), BMM_FORMAT_SQLITE);
    cr_expect_eq(bmm__format_of_path("a.txt"), BMM_FORMAT_TEXT);
    cr_expect_eq(bmm__format_of_path(".json"), BMM_FORMAT_NONE);
    cr_expect_eq(bmm__format_of_path("json"), BMM_FORMAT_NONE);
    cr_expect_eq(bmm__format_of_path(""), BMM_FORMAT_NONE);
    cr_expect_eq(bmm__format_of_word("sqlite"), BMM_FORMAT_SQLITE);
    cr_expect_eq(bmm__format_of_word("xml"), BMM_FORMAT_NONE);
}

Test(write, a_report_appears_whole_or_not_at_all)
{
    struct bmm__report *report = sample_report();
    struct bmm__why why = { "" };
    char directory[PATH_MAX], path[PATH_MAX + 16], link[PATH_MAX + 16];
    snprintf(directory, sizeof directory, "%s", made_path("dir"));
    cr_assert_eq(mkdir(directory, 0700), 0);
    snprintf(path, sizeof path, "%s/r.json", directory);
    snprintf(link, sizeof link, "%s/l.json", directory);
    cr_expect(bmm__output_check(path, &why));
    made_write_bytes(path, "old", 3);
    cr_assert_eq(symlink(path, link), 0);
    cr_expect(bmm__output_write(report, BMM_FORMAT_JSON, link, false, &why), "%s", why.text);
    char *text = read_whole(path);
    cr_expect_eq(text[0], '{', "the link's target was replaced");
    free(text);
    struct stat status;
    cr_expect(lstat(link, &status) == 0 && S_ISLNK(status.st_mode), "the link is still one");
    mode_t mask = umask(0);
    umask(mask);
    cr_expect(stat(path, &status) == 0 && (status.st_mode & 0777) == (0666 & ~mask));
    unlink(link);
    unlink(path);
    cr_expect_eq(rmdir(directory), 0, "nothing else was left there");
    cr_expect_not(bmm__output_check(path, &why), "its directory is gone");
    cr_expect_not_null(strstr(why.text, strerror(ENOENT)));
    cr_expect_not(bmm__output_write(report, BMM_FORMAT_SQLITE, path, false, &why));
    cr_expect_not_null(strstr(why.text, path));
    cr_expect_not(bmm__output_check("report.xml", &why));
    cr_expect_not(bmm__output_check("/dev/null.d/../null", &why));
    bmm__report_free(report);
}

Test(write, a_full_disk_is_told)
{
    struct stat status;
    if (stat("/dev/full", &status) != 0 || !S_ISCHR(status.st_mode))
        return;
    struct bmm__report *report = sample_report();
    FILE *full = fopen("/dev/full", "w");
    bmm__write_json(report, full);
    cr_expect(fflush(full) != 0 || ferror(full));
    fclose(full);
    bmm__report_free(report);
}

Test(write, a_pipe_is_written_to_and_stays_one)
{
    struct bmm__report *report = sample_report();
    struct bmm__why why;
    struct stat status;
    char path[64], found[64] = "";
    snprintf(path, sizeof path, "/tmp/brainmm-pipe-%d.json", (int)getpid());
    cr_assert_eq(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    fcntl(reader, F_SETPIPE_SZ, 1 << 20);
    cr_expect(bmm__output_write(report, BMM_FORMAT_JSON, path, false, &why), "%s", why.text);
    cr_expect_gt(read(reader, found, sizeof found - 1), 0);
    cr_expect_eq(strncmp(found, "{\"format\"", 9), 0);
    cr_expect_not(bmm__output_write(report, BMM_FORMAT_SQLITE, path, false, &why));
    cr_expect_eq(stat(path, &status), 0);
    cr_expect(S_ISFIFO(status.st_mode));
    close(reader);
    unlink(path);
    bmm__report_free(report);
}

/* ---- reading what others may have written ---- */

static const char *refusal(const char *name, const void *bytes, size_t count)
{
    static struct bmm__why why;
    struct bmm__report *report = bmm__report_make();
    const char *path = made_path(name);
    made_write_bytes(path, bytes, count);
    why.text[0] = 0;
    if (bmm__report_load(report, NULL, path, &why))
        bmm__report_finish(report);
    bmm__report_free(report);
    unlink(path);
    return why.text;
}

Test(load, strange_files_are_named)
{
    cr_expect_not_null(strstr(refusal("x", "", 0), "neither a snapshot nor"));
    cr_expect_not_null(strstr(refusal("x", "hello", 5), "neither a snapshot nor"));
    cr_expect_not_null(strstr(refusal("x", "{\"format\":", 10), "not JSON, or cut short"));
    cr_expect_not_null(strstr(refusal("x", "{}", 2), "JSON, but no brainmm-report"));
    const char *newer = "{\"format\":\"brainmm-report\",\"version\":3}";
    cr_expect_not_null(strstr(refusal("x", newer, strlen(newer)), "report version 3, this viewer reads 2"));
    const char *bare = "{\"format\":\"brainmm-report\",\"version\":2}";
    cr_expect_str_eq(refusal("x", bare, strlen(bare)), "");
    const char *odd =
        "{\"format\":\"brainmm-report\",\"version\":2,\"processes\":[3],\"leaks\":[{\"process\":9,\"stack\":"
        "[1,{}],\"bytes\":-1}],\"errors\":[[],{\"changed\":7,\"process\":-3}],\"notes\":[null]}";
    cr_expect_str_eq(refusal("x", odd, strlen(odd)), "");
}

Test(load, numbers_that_name_no_frame_are_left_out)
{
    static const char text[] =
        "{\"format\":\"brainmm-report\",\"version\":2,\"processes\":[{}],\"frames\":[{\"function\":\"inner\"},7],"
        "\"leaks\":[{\"bytes\":1,\"stack\":[0,-1,2,\"0\",1e300,null,1]},{\"bytes\":2,\"stack\":[-0.5,4294967296]}]}";
    const char *path = made_path("numbers.json");
    made_write_bytes(path, text, sizeof text - 1);
    struct bmm__why why = { "" };
    struct bmm__report *report = bmm__report_make();
    cr_assert(bmm__report_load(report, NULL, path, &why), "%s", why.text);
    cr_assert_eq(report->leak_count, 2);
    cr_assert_eq(report->leaks[0].stack->count, 2);
    cr_expect_str_eq(report->leaks[0].stack->frames[0]->function, "inner");
    cr_expect_null(report->leaks[0].stack->frames[1]->function,
                   "what is no object is a frame of which nothing is known");
    cr_expect_eq(report->leaks[1].stack->count, 0);
    bmm__report_free(report);
    unlink(path);
}

Test(load, a_damaged_database_does_no_harm, .timeout = 60)
{
    struct bmm__report *report = sample_report();
    struct bmm__why why;
    const char *path = made_path("damage.db");
    cr_assert(bmm__output_write(report, BMM_FORMAT_SQLITE, path, false, &why));
    FILE *file = fopen(path, "r");
    static unsigned char good[1 << 20], bytes[1 << 20];
    size_t count = fread(good, 1, sizeof good, file);
    fclose(file);
    unlink(path);
    uint64_t random = 88172645463325252u;
    for (int round = 0; round < 300; round++) {
        memcpy(bytes, good, count);
        for (int flips = 0; flips < 8; flips++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes[16 + random % (count - 16)] = (unsigned char)(random >> 32);
        }
        refusal("damaged.db", bytes, count);
    }
    for (size_t length = 16; length < count; length += 1000)
        refusal("cut.db", good, length);
    bmm__report_free(report);
}
