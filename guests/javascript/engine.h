/* What the parts of the JavaScript engine guest share. */
#ifndef WASPI_ENGINE_H
#define WASPI_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quickjs.h"

/* --- endings: how a run ends without a result ------------------------------------------------------------------- */

/* The host's words for whose fault it is; see guests/ABI.md, `waspi.fail`. */
enum failure {
  FAILED_BY_GUEST = 0,      /* the function threw, or gave something that its encoding cannot hold */
  FAILED_BY_PUBLISHER = 1,  /* the input is not what the function takes */
  FAILED_BY_MODULE = 2,     /* the script cannot be loaded */
};

/* End the run with a message (printf's format). */
_Noreturn void fail(enum failure whose, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* End the run with the exception that is pending; `before` stands in front of it. */
_Noreturn void fail_with_exception(JSContext *ctx, enum failure whose, const char *before);

/* --- bytes that grow ---------------------------------------------------------------------------------------------- */

struct bytes {
  uint8_t *at;
  size_t length, room;
};

/* Each ends the run when there is no memory left. */
void put(struct bytes *out, const void *from, size_t length);
void put_byte(struct bytes *out, uint8_t byte);
void put_text(struct bytes *out, const char *text);

/* --- values and bytes --------------------------------------------------------------------------------------------- */

/* Where a value stands in the result, for messages: `.readings[3]`. Lives on the C stack. */
struct place {
  const struct place *parent;
  JSValueConst object; /* the container; walked to find cycles */
  const char *key;     /* NULL: an index */
  uint32_t index;
  int depth;
};

enum { MAX_DEPTH = 200 }; /* arrays and objects inside each other, in inputs and results */

/* End the run because of the value at `place`: "the function's result has {what} at {place}". */
_Noreturn void fail_at(const struct place *place, const char *what);

/* Check that `object` may stand below `parent`: not too deep, not inside itself. */
void enter(const struct place *parent, JSValueConst object);

/* The value that stands for `value` in a result: what its toJSON(key) gives, when it has one. Takes `value`. */
JSValue plain(JSContext *ctx, JSValue value, const struct place *place);

/* The UTF-8 of a string; ends the run at a lone surrogate. To be freed by JS_FreeCString. */
const char *utf8_of(JSContext *ctx, JSValueConst string, size_t *length, const struct place *place);

/* Index of the first byte that is no UTF-8 (RFC 3629), or -1. */
ptrdiff_t not_utf8(const uint8_t *text, size_t length);

/* Whether it is a typed array, and how many elements it has. */
bool has_elements(JSContext *ctx, JSValueConst value, uint32_t *length);

void encode_json(JSContext *ctx, struct bytes *out, JSValueConst value);
void encode_cbor(JSContext *ctx, struct bytes *out, JSValueConst value);
/* Ends the run, by the publisher's fault, when the bytes are no CBOR (RFC 8949) or hold what JavaScript has no value for. */
JSValue decode_cbor(JSContext *ctx, const uint8_t *from, size_t length);

/* --- the runtime -------------------------------------------------------------------------------------------------- */

void add_console(JSContext *ctx);
void add_text_codecs(JSContext *ctx);

/* In quickjs_unit.c, which sees QuickJS' inside. */

/* Before this the clock stands still, so that making a context asks the host for nothing. */
void start_clock(void);
void bound_stack(JSRuntime *rt);
/* Have Math.random seeded by the host at its next call: once a run, whoever made the context and whenever. */
void reseed(void);
void add_random(JSContext *ctx);

#endif
