/* The tables and views of a report database, as SQL; FORMAT.md describes them. Writer and reader share it. */
#ifndef BMM_REPORT_SQLITE_SCHEMA_H
#define BMM_REPORT_SQLITE_SCHEMA_H

extern const char bmm__sqlite_tables[];
/* After the rows: an index that is filled row by row costs ten times as much. */
extern const char bmm__sqlite_indexes_and_views[];

#endif
