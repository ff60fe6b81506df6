#include "debug/options.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct bmm__options options;

Test(options, defaults)
{
    bmm__options_parse(&options, NULL);
    cr_assert_eq(options.mode, BMM_MODE_LEAK);
    cr_assert(options.fills && options.wants_summary);
    cr_assert_not(options.stops_on_error || options.is_managed || options.wants_contents);
    cr_assert_eq(options.depth_max, 64);
    cr_assert_eq(options.quarantine_bytes, 4u << 20);
    cr_assert_eq(options.recorder_bytes_max, 1u << 30);
    cr_assert_null(options.directory);
    cr_assert_eq(options.report_count, 0);
}

Test(options, every_key)
{
    bmm__options_parse(&options, "mode=check,report=a.db,report=b.json,dir=/d,on_error=stop,quarantine=8M,depth=3,"
                                 "fill=off,recorder_max=2G,contents=on,summary=off");
    cr_assert_eq(options.mode, BMM_MODE_CHECK);
    cr_assert_eq(options.report_count, 2);
    cr_assert_str_eq(options.reports[0], "a.db");
    cr_assert_str_eq(options.reports[1], "b.json");
    cr_assert_str_eq(options.directory, "/d");
    cr_assert(options.stops_on_error && options.wants_contents);
    cr_assert_not(options.fills || options.wants_summary || options.is_managed);
    cr_assert_eq(options.quarantine_bytes, 8u << 20);
    cr_assert_eq(options.depth_max, 3);
    cr_assert_eq(options.recorder_bytes_max, (uint64_t)2 << 30);
}

Test(options, report_none_is_managed)
{
    bmm__options_parse(&options, "report=none");
    cr_assert(options.is_managed);
    cr_assert_eq(options.report_count, 0);
}

Test(options, bad_ones_are_ignored_one_by_one)
{
    static const char *const bad[] = { "mode=x",
                                       "mode",
                                       "=",
                                       "depth=0",
                                       "depth=257",
                                       "quarantine=M",
                                       "quarantine=1T",
                                       "fill=yes",
                                       "on_error=never",
                                       "report=",
                                       "report=app.xml",
                                       "report=.json",
                                       "dir=",
                                       "nonsense=1",
                                       ",,,",
                                       "recorder_max=99999999999999999999",
                                       "recorder_max=4095K" };
    struct bmm__options defaults;
    bmm__options_parse(&defaults, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s,depth=7", bad[i]);
        bmm__options_parse(&options, text);
        cr_assert_eq(options.depth_max, 7, "%s", bad[i]);
        cr_assert_eq(options.mode, defaults.mode);
        cr_assert_eq(options.quarantine_bytes, defaults.quarantine_bytes);
        cr_assert_eq(options.recorder_bytes_max, defaults.recorder_bytes_max);
        cr_assert_eq(options.report_count, 0);
        cr_assert_null(options.directory);
    }
}

Test(options, too_long_is_ignored)
{
    static char text[BMM__OPTIONS_TEXT_BYTES + 1];
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "mode=off,", 9);
    bmm__options_parse(&options, text);
    cr_assert_eq(options.mode, BMM_MODE_LEAK);
}

Test(options, too_many_reports)
{
    bmm__options_parse(
        &options,
        "report=1.db,report=2.db,report=3.db,report=4.db,report=5.db,report=6.db,report=7.db,report=8.db,report=9.db");
    cr_assert_eq(options.report_count, BMM__OPTIONS_REPORTS_MAX);
}
