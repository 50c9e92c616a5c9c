/* Turn rows of COPY BINARY into the buffers of Arrow's arrays.
 *
 * What arrives is not trusted: `limnos_measure` proves that every cell lies within its row and every row within the buffer, and only rows
 * that it has proven may be given to `limnos_fill`. Nothing is allocated here and nothing is kept.
 *
 * Source: PostgreSQL documentation, "Message Formats" and "COPY", "Binary Format"; `numeric_send` in src/backend/utils/adt/numeric.c;
 * Apache Arrow, "Columnar Format".
 */

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#ifndef LIMNOS_DIGEST
#define LIMNOS_DIGEST ""
#endif
#define PUBLIC __attribute__((visibility("default")))

/* The order is that of `_KINDS` in native.py. */
enum kind { PLACES, BOOL, INT2, INT4, INT8, OID, FLOAT4, FLOAT8, NUMERIC, DATE, TIME, TIMESTAMP, UUID, BYTES };

typedef struct {
    int32_t kind, precision, scale;
    int32_t odd;    /* out: there is a value that the type does not hold, and nothing else of the column counts */
    int64_t nulls;  /* out of measure: how many; `validity` is needed if there are any */
    int64_t bytes;  /* out of measure: the sum of the lengths */
    uint8_t *validity;  /* whole words of 64 rows */
    uint8_t *values;    /* of a fixed width; in BOOL bits, whole words of 64 rows; in PLACES the offset of each cell's length, int64, or none */
    int32_t *offsets;   /* of BYTES, one more than rows */
    uint8_t *data;      /* of BYTES, as many as `bytes`, and SLACK more */
} column;

/* SLACK: most texts are shorter, and are copied with what stands behind them, which is cheaper than their exact length. */
enum { BLOCK = 64, LENGTH = 4, HEAD = 8, GROUP = 4, BASE = 10000, SLACK = 48, AHEAD = 4096, LINE = 64, WAIT_MS = 2 };
static const int32_t WIDTHS[] = {-1, 1, 2, 4, 8, 4, 4, 8, -1, 4, 8, 8, 16, -1};
/* Days since 2000-01-01 of 0001-01-01 and of 9999-12-31, and of 1970-01-01. */
static const int32_t FIRST_DAY = -730119, LAST_DAY = 2921939, EPOCH_DAYS = 10957;
static const int64_t DAY_US = 86400000000, EPOCH_US = 946684800000000;

static uint16_t u16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static uint32_t u32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

static uint64_t u64(const uint8_t *at) { return (uint64_t)u32(at) << 32 | u32(at + 4); }

static int32_t i32(const uint8_t *at) { return (int32_t)u32(at); }

PUBLIC const char *limnos_digest(void) { return LIMNOS_DIGEST; }

/* Fill a buffer, or up to ReadyForQuery, which ends an answer; gives how far it is filled, which is no further if the line is at its end, or
 * -errno. The socket wakes its reader only for much at once (SO_RCVLOWAT); what is less waits WAIT_MS.
 */
PUBLIC int64_t limnos_receive(int32_t line, uint8_t *buffer, int64_t filled, int64_t most) {
    static const uint8_t READY[] = {'Z', 0, 0, 0, 5};
    struct pollfd one = {.fd = line, .events = POLLIN};
    while (filled < most) {
        if (poll(&one, 1, WAIT_MS) < 0 && errno != EINTR) return -errno;
        ssize_t received = recv(line, buffer + filled, (size_t)(most - filled), MSG_DONTWAIT);
        if (received == 0) break;
        if (received > 0) {
            filled += received;
            if (filled > (int64_t)sizeof READY && !memcmp(buffer + filled - sizeof READY - 1, READY, sizeof READY)) break;
        } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            return -errno;
        }
    }
    return filled;
}

/* Find the complete messages in `filled` bytes, `most` of them at most; gives how many, and where the first incomplete one begins.
 * A message that is shorter than its own length ends the search with -1. */
PUBLIC int64_t limnos_messages(const uint8_t *buffer, int64_t filled, int64_t *places, int64_t most, int64_t *rest) {
    int64_t at = 0, found = 0, ahead = 0;
    while (found < most && filled - at > LENGTH) {
        int64_t length = i32(buffer + at + 1);
        if (length < LENGTH) return -1;
        if (length > filled - at - 1) break;
        places[found++] = at;
        at += 1 + length;
        /* What has just been received is in no near cache, and where the next message begins is known only from this one. */
        for (; ahead < at + AHEAD && ahead < filled; ahead += LINE) __builtin_prefetch(buffer + ahead);
    }
    *rest = at;
    return found;
}

/* Tell whether the groups of a numeric are as many as its length says, and digits to the base of 10,000. */
static int is_numeric(const uint8_t *at, int32_t length) {
    if (length < HEAD || length != HEAD + 2 * (int32_t)u16(at)) return 0;
    uint16_t sign = u16(at + 4);
    if (sign != 0 && sign != 0x4000 && sign != 0xC000 && sign != 0xD000 && sign != 0xF000) return 0;
    for (int32_t place = HEAD; place < length; place += 2)
        if (u16(at + place) >= BASE) return 0;
    return 1;
}

/* Prove one cell of `count` rows each, and go on to the next column's; gives the place of one that is none, or -1. */
static int32_t measure_column(const uint8_t *buffer, column *to, const int64_t *ends, int64_t *cells, int32_t count) {
    int32_t width = WIDTHS[to->kind], numeric = to->kind == NUMERIC;
    int64_t nulls = 0, bytes = 0;
    for (int32_t n = 0; n < count; n++) {
        if (ends[n] - cells[n] < LENGTH) return n;
        int32_t length = i32(buffer + cells[n]);
        int64_t from = cells[n] + LENGTH;
        cells[n] = from;
        if (length < 0) {
            if (length != -1) return n;
            nulls++;
            continue;
        }
        if (length > ends[n] - from || (width >= 0 && length != width) || (numeric && !is_numeric(buffer + from, length))) return n;
        cells[n] = from + length;
        bytes += length;
    }
    to->nulls += nulls;
    to->bytes += bytes;
    return -1;
}

/* Prove the rows, which begin at `starts` and end at `ends`; gives one that is none, or -1. */
PUBLIC int64_t limnos_measure(const uint8_t *buffer, int64_t size, const int64_t *starts, const int64_t *ends, int64_t rows, column *columns,
                              int32_t width) {
    int64_t cells[BLOCK];
    for (int32_t c = 0; c < width; c++) columns[c].nulls = columns[c].bytes = 0;
    for (int64_t first = 0; first < rows; first += BLOCK) {
        int32_t count = (int32_t)(rows - first < BLOCK ? rows - first : BLOCK);
        for (int32_t n = 0; n < count; n++) {
            int64_t at = cells[n] = starts[first + n], end = ends[first + n];
            if (at < 2 || end < at || end > size || u16(buffer + at - 2) != width) return first + n;
        }
        for (int32_t c = 0; c < width; c++) {
            int32_t wrong = measure_column(buffer, &columns[c], ends + first, cells, count);
            if (wrong >= 0) return first + wrong;
        }
        for (int32_t n = 0; n < count; n++)
            if (cells[n] != ends[first + n]) return first + n;
    }
    return -1;
}

typedef unsigned __int128 wide;

/* Ten to the power of up to 38. */
static wide power(int32_t exponent) {
    wide result = 1;
    while (exponent-- > 0) result *= 10;
    return result;
}

typedef struct {
    int32_t top;       /* the power of the base of the highest group */
    int32_t below;     /* the groups behind the point */
    uint32_t leading;  /* the highest group is less */
    uint32_t spare;    /* what the lowest group is too large by */
} decimal;

static decimal decimal_of(const column *to) {
    int32_t digits = to->precision - to->scale, top = (digits + GROUP - 1) / GROUP - 1, below = (to->scale + GROUP - 1) / GROUP;
    return (decimal){top, below, (uint32_t)power(digits - GROUP * top), (uint32_t)power(below * GROUP - to->scale)};
}

/* Make a decimal's digits of a numeric; gives whether it is one of the type. The groups of one that is stay below 38 digits all the way. */
static int unscaled(const uint8_t *at, const decimal *kind, wide *result) {
    int32_t count = u16(at), weight = (int16_t)u16(at + 2);
    uint16_t sign = u16(at + 4);
    if (sign > 0x4000) return 0;
    *result = 0;
    if (!count) return 1;
    int32_t last = weight - count + 1 + kind->below;
    if (last < 0 || weight > kind->top || (weight == kind->top && u16(at + HEAD) >= kind->leading)) return 0;
    const uint8_t *digit = at + HEAD;
    wide value = 0;
    for (int32_t place = 0; place < count - 1; place++, digit += 2) value = value * BASE + u16(digit);
    uint32_t lowest = u16(digit);
    if (last > 0) {
        value = value * BASE + lowest;
        for (; last > 1; last--) value *= BASE;
        lowest = 0;
    }
    if (lowest % kind->spare) return 0;
    value = value * (BASE / kind->spare) + lowest / kind->spare;
    *result = sign ? (wide)0 - value : value;
    return 1;
}

static void put_bits(uint8_t *bits, int64_t first, uint64_t word) {
    for (int byte = 0; byte < 8; byte++) bits[first / 8 + byte] = (uint8_t)(word >> 8 * byte);
}

/* A loop of its own for each type: what is done with the value `from` of row `row`, whose slot is zero if there is none. */
#define EACH(type, ...)                                           \
    uint8_t *restrict values = to->values + first * (int64_t)sizeof(type); \
    for (int32_t n = 0; n < count; n++) {                         \
        const uint8_t *from = buffer + cells[n] + LENGTH;         \
        type value = 0;                                           \
        if (there >> n & 1) { __VA_ARGS__; }                      \
        memcpy(values + n * sizeof value, &value, sizeof value);  \
    }                                                             \
    break

/* Fill one column in the rows from `first` on, whose cells have their lengths at `cells`, and go on to the next column's. */
static void fill_column(const uint8_t *buffer, int64_t size, column *to, int64_t first, int32_t count, int64_t *cells) {
    uint64_t there = 0, bits = 0;
    int32_t lengths[BLOCK];
    for (int32_t n = 0; n < count; n++) {
        lengths[n] = i32(buffer + cells[n]);
        there |= (uint64_t)(lengths[n] >= 0) << n;
    }
    if (to->validity) put_bits(to->validity, first, there);
    switch ((enum kind)to->kind) {
        case PLACES:
            if (to->values) memcpy(to->values + first * 8, cells, (size_t)count * 8);
            break;
        case BOOL:
            for (int32_t n = 0; n < count; n++)
                if (there >> n & 1) bits |= (uint64_t)(buffer[cells[n] + LENGTH] != 0) << n;
            put_bits(to->values, first, bits);
            break;
        case INT2: { EACH(int32_t, value = (int16_t)u16(from)); }
        case INT4: { EACH(int32_t, value = i32(from)); }
        case INT8: { EACH(int64_t, value = (int64_t)u64(from)); }
        case OID: { EACH(int64_t, value = (int64_t)u32(from)); }
        case FLOAT4: { EACH(uint32_t, value = u32(from)); }
        case FLOAT8: { EACH(uint64_t, value = u64(from)); }
        case DATE: { EACH(int32_t, value = i32(from); if (value < FIRST_DAY || value > LAST_DAY) to->odd = 1; else value += EPOCH_DAYS); }
        case TIME: { EACH(int64_t, value = (int64_t)u64(from); if (value >= DAY_US) to->odd = 1); }
        case TIMESTAMP: {
            EACH(int64_t, value = (int64_t)u64(from);
                 if (value < FIRST_DAY * DAY_US || value >= (LAST_DAY + 1) * DAY_US) to->odd = 1; else value += EPOCH_US);
        }
        case NUMERIC: {
            decimal kind = decimal_of(to);
            EACH(wide, if (!unscaled(from, &kind, &value)) to->odd = 1);
        }
        case UUID:
            for (int32_t n = 0; n < count; n++) {
                static const uint8_t none[16];
                memcpy(to->values + (first + n) * 16, there >> n & 1 ? buffer + cells[n] + LENGTH : none, 16);
            }
            break;
        case BYTES: {
            int32_t end = to->offsets[first], *restrict offsets = to->offsets + first + 1;
            uint8_t *restrict data = to->data;
            for (int32_t n = 0; n < count; n++) {
                int64_t from = cells[n] + LENGTH;
                if (lengths[n] > 0) {
                    memcpy(data + end, buffer + from, lengths[n] > SLACK || from + SLACK > size ? (size_t)lengths[n] : SLACK);
                    end += lengths[n];
                }
                offsets[n] = end;
            }
            break;
        }
    }
    for (int32_t n = 0; n < count; n++) cells[n] += LENGTH + (lengths[n] > 0 ? lengths[n] : 0);
}

/* Fill the columns' buffers with rows that were measured. */
PUBLIC void limnos_fill(const uint8_t *buffer, int64_t size, const int64_t *starts, int64_t rows, column *columns, int32_t width) {
    int64_t cells[BLOCK];
    for (int32_t c = 0; c < width; c++) {
        columns[c].odd = 0;
        if (columns[c].kind == BYTES) columns[c].offsets[0] = 0;
    }
    for (int64_t first = 0; first < rows; first += BLOCK) {
        int32_t count = (int32_t)(rows - first < BLOCK ? rows - first : BLOCK);
        memcpy(cells, starts + first, (size_t)count * sizeof *cells);
        for (int32_t c = 0; c < width; c++) fill_column(buffer, size, &columns[c], first, count, cells);
    }
}
