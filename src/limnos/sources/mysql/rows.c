/* Tell the packets of a MySQL text result set apart, and make Arrow buffers of its rows.
 *
 * No byte of a row is trusted: no cell is read beyond the end of its packet, and a value that is not written as its type has it is
 * counted in `wrong`, for the caller to read that column as text.
 *
 * Source: MySQL Internals, "ProtocolText::Resultset", "Protocol::LengthEncodedInteger"; H. Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms" (days_from_civil). */

#include <stdint.h>
#include <string.h>

#ifndef LIMNOS_DIGEST
#define LIMNOS_DIGEST ""
#endif
#define PUBLIC __attribute__((visibility("default")))

/* The order is that of `Form` in native.py. */
enum { TEXT, INT32, INT64, DECIMAL, DAY, INSTANT };

typedef struct {
    int32_t kind, scale;
    void *values;    /* TEXT: rows + 1 offsets of 32 bits */
    int32_t *begins; /* TEXT: where each cell begins */
    uint8_t *valid;  /* a bitmap, all zeros at first */
    int64_t nulls, wrong;
} column;

static const int64_t POWERS[] = {1, 10, 100, 1000, 10000, 100000, 1000000};

PUBLIC const char *limnos_digest(void) { return LIMNOS_DIGEST; }

/* Give where the first incomplete row begins, and in `starts` the packets of complete ones; a row of 16 MB or more has several. */
PUBLIC int64_t limnos_mysql_walk(const uint8_t *data, int64_t filled, int64_t at, int64_t *starts, int64_t *count, int64_t most)
{
    int64_t first = at, found = 0;
    while (at + 4 <= filled && found < most) {
        const int64_t length = data[at] | data[at + 1] << 8 | data[at + 2] << 16;
        if (at + 4 + length > filled)
            break;
        at += 4 + length;
        if (length < 0xFFFFFF) {
            starts[found++] = first;
            first = at;
        }
    }
    *count = found;
    return first;
}

/* Read up to 19 digits, and at least one, into what 64 bits hold. */
static int digits(const uint8_t *text, int64_t length, uint64_t *value)
{
    uint64_t total = 0;
    if (length < 1 || length > 19)
        return 0;
    for (int64_t at = 0; at < length; at++) {
        const uint8_t digit = text[at] - '0';
        if (digit > 9)
            return 0;
        total = total * 10 + digit;
    }
    *value = total;
    return 1;
}

static int whole(const uint8_t *text, int64_t length, int64_t *value)
{
    uint64_t magnitude;
    const int minus = length && *text == '-';
    if (!digits(text + minus, length - minus, &magnitude) || magnitude > (uint64_t)INT64_MAX + minus)
        return 0;
    *value = (int64_t)(minus ? 0 - magnitude : magnitude);
    return 1;
}

static int decimal(const uint8_t *text, int64_t length, int32_t scale, int64_t *low, int64_t *high)
{
    uint64_t magnitude, fraction = 0;
    const int minus = length && *text == '-';
    text += minus;
    length -= minus;
    if (scale) {
        const int64_t point = length - scale - 1;
        if (point < 1 || length > 20 || text[point] != '.' || !digits(text, point, &magnitude) || !digits(text + point + 1, scale, &fraction))
            return 0;
        for (int32_t place = 0; place < scale; place++)
            magnitude *= 10;
        magnitude += fraction;
    } else if (!digits(text, length, &magnitude)) {
        return 0;
    }
    *low = (int64_t)(minus ? 0 - magnitude : magnitude);
    *high = minus && magnitude ? -1 : 0;
    return 1;
}

static int number(const uint8_t *text, int64_t length, int64_t least, int64_t most, int64_t *value)
{
    uint64_t read;
    if (!digits(text, length, &read) || (int64_t)read < least || (int64_t)read > most)
        return 0;
    *value = (int64_t)read;
    return 1;
}

static int day(const uint8_t *text, int64_t length, int64_t *days)
{
    static const uint8_t LENGTHS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t y, m, d;
    if (length != 10 || text[4] != '-' || text[7] != '-' || !number(text, 4, 1, 9999, &y) || !number(text + 5, 2, 1, 12, &m))
        return 0;
    const int leap = m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    if (!number(text + 8, 2, 1, LENGTHS[m - 1] + leap, &d))
        return 0;
    y -= m <= 2;
    const int64_t era = y / 400, of_era = y - era * 400;
    const int64_t of_year = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    *days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    return 1;
}

static int instant(const uint8_t *text, int64_t length, int64_t *micros)
{
    int64_t days, h, m, s, fraction = 0;
    if (length < 19 || length > 26 || length == 20 || text[10] != ' ' || text[13] != ':' || text[16] != ':')
        return 0;
    if (!day(text, 10, &days) || !number(text + 11, 2, 0, 23, &h) || !number(text + 14, 2, 0, 59, &m) || !number(text + 17, 2, 0, 59, &s))
        return 0;
    if (length > 20) {
        if (text[19] != '.' || !number(text + 20, length - 20, 0, 999999, &fraction))
            return 0;
        fraction *= POWERS[26 - length];
    }
    *micros = (days * 86400 + h * 3600 + m * 60 + s) * 1000000 + fraction;
    return 1;
}

/* Give where a cell begins and how long it is, -1 for null; NULL if it would reach beyond the end of its row. */
static const uint8_t *cell(const uint8_t *at, const uint8_t *end, int64_t *length)
{
    if (at >= end)
        return NULL;
    const uint8_t mark = *at++;
    if (mark < 0xFB) {
        *length = mark;
    } else if (mark == 0xFB) {
        *length = -1;
        return at;
    } else {
        const int width = mark == 0xFC ? 2 : mark == 0xFD ? 3 : 8;
        uint64_t wide = 0;
        if (mark == 0xFF || end - at < width)
            return NULL;
        for (int byte = 0; byte < width; byte++)
            wide |= (uint64_t)at[byte] << 8 * byte;
        if (wide > (uint64_t)INT64_MAX)
            return NULL;
        at += width;
        *length = (int64_t)wide;
    }
    return *length <= end - at ? at : NULL;
}

static int put(column *into, int64_t row, const uint8_t *text, int64_t length)
{
    int64_t value;
    switch (into->kind) {
    case INT32:
        if (!whole(text, length, &value) || value < INT32_MIN || value > INT32_MAX)
            return 0;
        ((int32_t *)into->values)[row] = (int32_t)value;
        return 1;
    case INT64:
        return whole(text, length, (int64_t *)into->values + row);
    case DECIMAL:
        return decimal(text, length, into->scale, (int64_t *)into->values + 2 * row, (int64_t *)into->values + 2 * row + 1);
    case DAY:
        if (!day(text, length, &value))
            return 0;
        ((int32_t *)into->values)[row] = (int32_t)value;
        return 1;
    default:
        return instant(text, length, (int64_t *)into->values + row);
    }
}

/* Read rows into the buffers of their columns; gives how many rows were whole before one was not. The values of nulls are left as they are. */
PUBLIC int64_t limnos_mysql_rows(const uint8_t *data, const int64_t *starts, const int64_t *ends, int64_t rows, column *columns, int64_t width)
{
    for (int64_t row = 0; row < rows; row++) {
        const uint8_t *at = data + starts[row], *end = data + ends[row];
        for (column *into = columns; into < columns + width; into++) {
            int64_t length;
            if (!(at = cell(at, end, &length)))
                return row;
            const int null = length < 0;
            length = null ? 0 : length;
            into->nulls += null;
            into->valid[row >> 3] |= (uint8_t)(!null << (row & 7));
            if (into->kind == TEXT) {
                int32_t *offsets = into->values;
                offsets[row + 1] = offsets[row] + (int32_t)length;
                into->begins[row] = (int32_t)(at - data);
            } else if (!null && !into->wrong) {
                into->wrong = !put(into, row, at, length);
            }
            at += length;
        }
        if (at != end)
            return row;
    }
    return rows;
}

/* Put the cells of a column of texts one behind the other. */
PUBLIC void limnos_mysql_texts(const uint8_t *data, const int32_t *begins, const int32_t *offsets, int64_t rows, uint8_t *into)
{
    for (int64_t row = 0; row < rows; row++)
        memcpy(into + offsets[row], data + begins[row], (size_t)(offsets[row + 1] - offsets[row]));
}
