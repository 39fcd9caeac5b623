/* What both encodings ask of a value. */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void put(struct bytes *out, const void *from, size_t length) {
  if (length > out->room - out->length) {
    size_t room = out->room * 2 > out->length + length ? out->room * 2 : out->length + length + 64;
    uint8_t *at = realloc(out->at, room);
    if (!at) fail(FAILED_BY_GUEST, "out of memory: there is no room for a result of more than %zu bytes", out->length);
    out->at = at;
    out->room = room;
  }
  memcpy(out->at + out->length, from, length);
  out->length += length;
}

void put_byte(struct bytes *out, uint8_t byte) { put(out, &byte, 1); }

void put_text(struct bytes *out, const char *text) { put(out, text, strlen(text)); }

static void put_place(struct bytes *out, const struct place *place) {
  char index[16];
  if (!place || !place->parent) return;
  put_place(out, place->parent);
  if (place->key) {
    put_byte(out, '.');
    put_text(out, place->key);
  } else {
    snprintf(index, sizeof index, "[%u]", (unsigned)place->index);
    put_text(out, index);
  }
}

_Noreturn void fail_at(const struct place *place, const char *what) {
  struct bytes path = {0};
  put_place(&path, place);
  put_byte(&path, 0);
  if (path.length > 1) fail(FAILED_BY_GUEST, "at %.100s the result has %s", (char *)path.at, what);
  fail(FAILED_BY_GUEST, "the result is %s", what);
}

void enter(const struct place *parent, JSValueConst object) {
  if (parent->depth >= MAX_DEPTH) fail_at(parent, "more than 200 levels of arrays and objects inside each other");
  for (const struct place *above = parent; above; above = above->parent)
    if (JS_IsObject(above->object) && JS_VALUE_GET_PTR(above->object) == JS_VALUE_GET_PTR(object))
      fail_at(parent, "a cycle (an object that holds itself)");
}

JSValue plain(JSContext *ctx, JSValue value, const struct place *place) {
  char index[16];
  if (!JS_IsObject(value)) return value;
  JSValue convert = JS_GetPropertyStr(ctx, value, "toJSON");
  if (JS_IsException(convert)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
  if (!JS_IsFunction(ctx, convert)) {
    JS_FreeValue(ctx, convert);
    return value;
  }
  snprintf(index, sizeof index, "%u", (unsigned)place->index);
  JSValue key = JS_NewString(ctx, place->key ? place->key : place->parent ? index : "");
  JSValue converted = JS_Call(ctx, convert, value, 1, (JSValueConst *)&key);
  if (JS_IsException(converted)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
  JS_FreeValue(ctx, key);
  JS_FreeValue(ctx, convert);
  JS_FreeValue(ctx, value);
  return converted;
}

const char *utf8_of(JSContext *ctx, JSValueConst string, size_t *length, const struct place *place) {
  const char *text = JS_ToCStringLen(ctx, length, string);
  if (!text) fail_with_exception(ctx, FAILED_BY_GUEST, "");
  if (not_utf8((const uint8_t *)text, *length) >= 0)
    fail_at(place, "a string with a lone surrogate, which UTF-8 cannot hold (see String.prototype.toWellFormed)");
  return text;
}

ptrdiff_t not_utf8(const uint8_t *text, size_t length) {
  size_t at = 0;
  while (at < length) {
    uint8_t first = text[at];
    if (first < 0x80) {
      at++;
      continue;
    }
    size_t more = first >= 0xc2 && first <= 0xdf ? 1 : (first & 0xf0) == 0xe0 ? 2 : first >= 0xf0 && first <= 0xf4 ? 3 : 0;
    if (!more || length - at <= more) return (ptrdiff_t)at;
    uint8_t second = text[at + 1];
    bool bad = (second & 0xc0) != 0x80 || (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
               (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    for (size_t i = 2; i <= more; i++) bad |= (text[at + i] & 0xc0) != 0x80;
    if (bad) return (ptrdiff_t)at;
    at += more + 1;
  }
  return -1;
}

bool has_elements(JSContext *ctx, JSValueConst value, uint32_t *length) {
  int64_t count;
  if (JS_GetTypedArrayType(value) < 0) return false;
  if (JS_GetLength(ctx, value, &count)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
  *length = (uint32_t)count;
  return true;
}
