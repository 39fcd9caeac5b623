/* Values to JSON (RFC 8259). JSON.stringify leaves out or turns to null what JSON cannot hold; here that is an error which
   names the place, since whoever gets the result could not tell. Properties that are undefined are left out, as usual. */
#include "engine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void encode(JSContext *ctx, struct bytes *out, JSValue value, const struct place *place);

static void put_string(JSContext *ctx, struct bytes *out, JSValueConst value, const struct place *place) {
  size_t length, done = 0;
  const char *text = utf8_of(ctx, value, &length, place);
  put_byte(out, '"');
  for (size_t i = 0; i < length; i++) {
    uint8_t c = (uint8_t)text[i];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    put(out, text + done, i - done);
    done = i + 1;
    static const char special[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    const char *found = NULL;
    for (const char *pair = special; *pair; pair += 2)
      if (*pair == (char)c) found = pair + 1;
    char escape[8];
    if (found) snprintf(escape, sizeof escape, "\\%c", *found);
    else snprintf(escape, sizeof escape, "\\u%04x", c);
    put_text(out, escape);
  }
  put(out, text + done, length - done);
  put_byte(out, '"');
  JS_FreeCString(ctx, text);
}

static void put_number(JSContext *ctx, struct bytes *out, JSValueConst value, const struct place *place) {
  double number;
  JS_ToFloat64(ctx, &number, value);
  if (!isfinite(number)) fail_at(place, isnan(number) ? "NaN, which JSON cannot hold" : "Infinity, which JSON cannot hold");
  const char *text = JS_ToCString(ctx, value);
  if (!text) fail_with_exception(ctx, FAILED_BY_GUEST, "");
  put_text(out, text);
  JS_FreeCString(ctx, text);
}

static void put_elements(JSContext *ctx, struct bytes *out, JSValueConst array, const struct place *place) {
  int64_t length;
  struct place here = {place, JS_UNDEFINED, NULL, 0, place->depth + 1};
  enter(place, array);
  here.object = array;
  if (JS_GetLength(ctx, array, &length)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
  put_byte(out, '[');
  for (int64_t i = 0; i < length; i++) {
    here.index = (uint32_t)i;
    if (i) put_byte(out, ',');
    JSValue element = JS_GetPropertyInt64(ctx, array, i);
    if (JS_IsException(element)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
    encode(ctx, out, plain(ctx, element, &here), &here);
  }
  put_byte(out, ']');
}

static void put_properties(JSContext *ctx, struct bytes *out, JSValueConst object, const struct place *place) {
  JSPropertyEnum *names;
  uint32_t count;
  bool first = true;
  struct place here = {place, object, NULL, 0, place->depth + 1};
  enter(place, object);
  if (JS_GetOwnPropertyNames(ctx, &names, &count, object, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY))
    fail_with_exception(ctx, FAILED_BY_GUEST, "");
  put_byte(out, '{');
  for (uint32_t i = 0; i < count; i++) {
    here.key = JS_AtomToCString(ctx, names[i].atom);
    if (!here.key) fail_with_exception(ctx, FAILED_BY_GUEST, "");
    JSValue value = JS_GetProperty(ctx, object, names[i].atom);
    if (JS_IsException(value)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
    value = plain(ctx, value, &here);
    if (!JS_IsUndefined(value)) {
      JSValue key = JS_AtomToString(ctx, names[i].atom);
      if (!first) put_byte(out, ',');
      first = false;
      put_string(ctx, out, key, &here);
      put_byte(out, ':');
      JS_FreeValue(ctx, key);
      encode(ctx, out, value, &here);
    }
    JS_FreeCString(ctx, here.key);
  }
  JS_FreePropertyEnum(ctx, names, count);
  put_byte(out, '}');
}

/* Takes `value`, which is plain. */
static void encode(JSContext *ctx, struct bytes *out, JSValue value, const struct place *place) {
  uint32_t length;
  if (JS_IsString(value)) put_string(ctx, out, value, place);
  else if (JS_IsNumber(value)) put_number(ctx, out, value, place);
  else if (JS_IsBool(value)) put_text(out, JS_ToBool(ctx, value) ? "true" : "false");
  else if (JS_IsNull(value)) put_text(out, "null");
  else if (JS_IsUndefined(value)) fail_at(place, "undefined, which JSON cannot hold (is a return missing?)");
  else if (JS_IsBigInt(value)) fail_at(place, "a BigInt, which JSON cannot hold (see Number() and String())");
  else if (JS_IsSymbol(value)) fail_at(place, "a symbol, which JSON cannot hold");
  else if (JS_IsFunction(ctx, value)) fail_at(place, "a function, which JSON cannot hold");
  else if (JS_IsMap(value) || JS_IsSet(value)) fail_at(place, "a Map or a Set (see Object.fromEntries and Array.from)");
  else if (JS_IsArray(value) || has_elements(ctx, value, &length)) put_elements(ctx, out, value, place);
  else put_properties(ctx, out, value, place);
  JS_FreeValue(ctx, value);
}

void encode_json(JSContext *ctx, struct bytes *out, JSValueConst value) {
  struct place top = {NULL, JS_UNDEFINED, NULL, 0, 0};
  encode(ctx, out, plain(ctx, JS_DupValue(ctx, value), &top), &top);
}
