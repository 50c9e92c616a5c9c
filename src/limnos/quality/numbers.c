/* Write rows as one text each, hash it, and add the hashes up by bucket, as `limnos.model.digest` says it in SQL.
 *
 * The buffers are Arrow's own and are only read. What one row needs is allocated once for all rows of a batch.
 *
 * Source: Bob Jenkins, lookup3.c (public domain), in the form of `hash_bytes_extended` of PostgreSQL with the seed 0: words are read the
 * little-endian way, and the lowest byte of the last word is left for the length. H. Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms" (civil_from_days). */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef LIMNOS_DIGEST
#define LIMNOS_DIGEST ""
#endif
#define PUBLIC __attribute__((visibility("default")))
#define TURNED(x, by) ((x) << (by) | (x) >> (32 - (by)))

/* The order is that of `Kind` in comparison_compiled.py. */
enum { TEXT, FREE, INTEGER, DECIMAL, DAY };

typedef struct {
    int32_t kind, scale;
    int64_t first;        /* the place of the first row in the buffers */
    const uint8_t *valid; /* a bitmap, or nothing where no value is null */
    const void *values;   /* of texts: rows + 1 offsets of 32 bits */
    const uint8_t *bytes; /* of texts */
} column;

typedef __int128 wide;

static const int64_t SIZES = 2147483648, LAST_DAY = 2932896, FIRST_DAY = -719162; /* 9999-12-31, 0001-01-01 */

PUBLIC const char *limnos_digest(void) { return LIMNOS_DIGEST; }

static uint32_t word(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t hashed(const uint8_t *text, int64_t size)
{
    uint32_t a, b, c;
    uint8_t rest[12] = {0};
    a = b = c = 0x9e3779b9u + (uint32_t)size + 3923095u;
    for (; size >= 12; text += 12, size -= 12) {
        a += word(text), b += word(text + 4), c += word(text + 8);
        a -= c, a ^= TURNED(c, 4), c += b;
        b -= a, b ^= TURNED(a, 6), a += c;
        c -= b, c ^= TURNED(b, 8), b += a;
        a -= c, a ^= TURNED(c, 16), c += b;
        b -= a, b ^= TURNED(a, 19), a += c;
        c -= b, c ^= TURNED(b, 4), b += a;
    }
    for (int64_t at = 0; at < size; at++)
        rest[at < 8 ? at : at + 1] = text[at];
    a += word(rest), b += word(rest + 4), c += word(rest + 8);
    c ^= b, c -= TURNED(b, 14);
    a ^= c, a -= TURNED(c, 11);
    b ^= a, b -= TURNED(a, 25);
    c ^= b, c -= TURNED(b, 16);
    a ^= c, a -= TURNED(c, 4);
    b ^= a, b -= TURNED(a, 14);
    c ^= b, c -= TURNED(b, 24);
    return (uint64_t)b << 32 | c;
}

/* Hash texts; one that is null has no meaning in `numbers`. */
PUBLIC void limnos_hash(const int32_t *offsets, const uint8_t *bytes, int64_t count, int64_t *numbers)
{
    for (int64_t row = 0; row < count; row++)
        numbers[row] = (int64_t)hashed(bytes + offsets[row], offsets[row + 1] - offsets[row]);
}

static const char PAIRS[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748"
                            "49505152535455565758596061626364656667686970717273747576777879808182838485868788899091929394959697"
                            "9899";

/* Write the digits of a number so that they end before `end`; gives where they begin. */
static uint8_t *before(uint8_t *end, uint64_t value)
{
    for (; value >= 100; value /= 100)
        memcpy(end -= 2, PAIRS + 2 * (value % 100), 2);
    if (value >= 10)
        return memcpy(end - 2, PAIRS + 2 * value, 2);
    *--end = '0' + (uint8_t)value;
    return end;
}

static uint8_t *digits(uint8_t *to, uint64_t value)
{
    uint8_t made[20], *first = before(made + 20, value);
    const size_t size = (size_t)(made + 20 - first);
    memcpy(to, first, size);
    return to + size;
}

static uint8_t *decimal(uint8_t *to, wide value, int scale)
{
    uint8_t made[48], *end = made + 48, *first = end;
    unsigned __int128 left = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    if (value < 0)
        *to++ = '-';
    for (; left >> 64; left /= 10)
        *--first = '0' + (uint8_t)(left % 10);
    first = before(first, (uint64_t)left);
    while (end - first <= scale)
        *--first = '0';
    memcpy(to, first, (size_t)(end - first) - (size_t)scale);
    to += end - first - scale;
    if (!scale)
        return to;
    *to++ = '.';
    memcpy(to, end - scale, (size_t)scale);
    return to + scale;
}

static uint8_t *day(uint8_t *to, int64_t days)
{
    const int64_t since = days + 719468, era = since / 146097, of_era = since % 146097;
    const int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    const int64_t dated = year + era * 400 + (month >= 10);
    memcpy(to, PAIRS + 2 * (dated / 100), 2);
    memcpy(to + 2, PAIRS + 2 * (dated % 100), 2);
    memcpy(to + 5, PAIRS + 2 * (month < 10 ? month + 3 : month - 9), 2);
    memcpy(to + 8, PAIRS + 2 * (of_year - (153 * month + 2) / 5 + 1), 2);
    to[4] = to[7] = '-';
    return to + 10;
}

static int null(const column *one, int64_t row)
{
    const int64_t at = one->first + row;
    return one->valid && !(one->valid[at >> 3] >> (at & 7) & 1);
}

static int64_t size(const column *one, int64_t row)
{
    const int32_t *offsets = (const int32_t *)one->values + one->first + row;
    return offsets[1] - offsets[0];
}

static uint8_t *cell(uint8_t *to, const column *one, int64_t row)
{
    const int64_t at = one->first + row;
    int64_t whole;
    wide value;
    switch (one->kind) {
    case INTEGER:
        whole = ((const int64_t *)one->values)[at];
        if (whole < 0)
            *to++ = '-';
        return digits(to, whole < 0 ? -(uint64_t)whole : (uint64_t)whole);
    case DECIMAL:
        memcpy(&value, (const uint8_t *)one->values + 16 * at, sizeof value);
        return decimal(to, value, one->scale);
    case DAY:
        return day(to, ((const int32_t *)one->values)[at]);
    default:
        whole = size(one, row);
        memcpy(to, one->bytes + ((const int32_t *)one->values)[at], (size_t)whole);
        return to + whole;
    }
}

/* The sizes of all free texts but the last, two in one number; of a single one with nothing before it, its own. */
static uint8_t *sizes(uint8_t *to, const column *columns, int32_t width, int64_t row, int32_t free, int plain)
{
    int32_t left = plain || free > 1 ? free - 1 : free;
    uint64_t held = 0;
    int begun = 0;
    for (int32_t number = 0; number < width && left; number++) {
        if (columns[number].kind != FREE)
            continue;
        const uint64_t one = (uint64_t)size(columns + number, row);
        left--;
        if (begun || !left) {
            to = digits(to, begun ? held + one : one * (uint64_t)SIZES);
            *to++ = '|';
        }
        held = one * (uint64_t)SIZES;
        begun = !begun;
    }
    return to;
}

/* Write a row without a null, and a `|` behind it. */
static uint8_t *row_of_values(uint8_t *to, const column *columns, int32_t width, int64_t row)
{
    int32_t free = 0;
    for (int32_t number = 0; number < width; number++) {
        if (columns[number].kind == FREE) {
            free++;
            continue;
        }
        to = cell(to, columns + number, row);
        *to++ = '|';
    }
    to = sizes(to, columns, width, row, free, free < width);
    for (int32_t number = 0; number < width && free; number++)
        if (columns[number].kind == FREE) {
            to = cell(to, columns + number, row);
            *to++ = '|';
        }
    return to;
}

/* Write a row with a null, and a `|` behind it. */
static uint8_t *row_with_nulls(uint8_t *to, const column *columns, int32_t width, int64_t row)
{
    *to++ = '|';
    for (int32_t number = 0; number < width; number++) {
        const column *one = columns + number;
        const int there = !null(one, row);
        if (one->kind == FREE) {
            if (there)
                to = digits(to, (uint64_t)size(one, row));
            *to++ = '|';
        }
        if (there)
            to = cell(to, one, row);
        *to++ = '|';
    }
    return to;
}

static int any_null(const column *columns, int32_t width, int64_t row)
{
    for (int32_t number = 0; number < width; number++)
        if (null(columns + number, row))
            return 1;
    return 0;
}

/* The bytes of a row at most; -1 where a day is none that all systems write alike. */
static int64_t longest(const column *columns, int32_t width, int64_t count)
{
    int64_t most = 64;
    for (int32_t number = 0; number < width; number++) {
        const column *one = columns + number;
        int32_t of_cell = 0;
        if (one->kind == TEXT || one->kind == FREE) {
            const int32_t *offsets = (const int32_t *)one->values + one->first;
            for (int64_t row = 0; row < count; row++)
                of_cell = offsets[row + 1] - offsets[row] > of_cell ? offsets[row + 1] - offsets[row] : of_cell;
        }
        if (one->kind == DAY)
            for (int64_t row = 0; row < count; row++) {
                const int32_t at = ((const int32_t *)one->values)[one->first + row];
                if ((at < FIRST_DAY || at > LAST_DAY) && !null(one, row))
                    return -1;
            }
        most += of_cell + 64;
    }
    return most;
}

/* Count rows and add up the hashes of their texts in the place of their bucket, which is between -reach and reach; 0 where that is done. */
PUBLIC int32_t limnos_add(const column *columns, int32_t width, int64_t count, const int64_t *buckets, int64_t reach, int64_t *rows, wide *totals)
{
    const int64_t most = longest(columns, width, count);
    uint8_t *text = most < 0 ? NULL : malloc((size_t)most);
    if (!text)
        return 1;
    int32_t nullable = 0;
    for (int32_t number = 0; number < width; number++)
        nullable |= columns[number].valid != NULL;
    for (int64_t row = 0; row < count; row++) {
        if (buckets[row] < -reach || buckets[row] > reach) {
            free(text);
            return 1;
        }
        uint8_t *end = (nullable && any_null(columns, width, row) ? row_with_nulls : row_of_values)(text, columns, width, row);
        rows[buckets[row] + reach]++;
        totals[buckets[row] + reach] += (int64_t)hashed(text, end - text - 1);
    }
    free(text);
    return 0;
}
