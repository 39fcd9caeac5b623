/* Values to and from CBOR (RFC 8949). What is written is deterministic (4.2.1): shortest forms, sorted keys. */
#include "engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };
enum { INDEFINITE = 31, BREAK = 0xff };
static const double SAFE = 9007199254740991.0; /* Number.MAX_SAFE_INTEGER */

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void encode(JSContext *ctx, struct bytes *out, JSValue value, const struct place *place);

static void put_big_endian(struct bytes *out, uint64_t number, int size) {
  while (size--) put_byte(out, (uint8_t)(number >> (8 * size)));
}

static void put_head(struct bytes *out, int major, uint64_t number) {
  int size = number < 24 ? 0 : number <= 0xff ? 1 : number <= 0xffff ? 2 : number <= 0xffffffff ? 4 : 8;
  int low = size == 0 ? (int)number : size == 1 ? 24 : size == 2 ? 25 : size == 4 ? 26 : 27;
  put_byte(out, (uint8_t)(major << 5 | low));
  put_big_endian(out, number, size);
}

/* The half-precision number of this value, or -1 when there is none. */
static int half_of(double number) {
  int sign = signbit(number) ? 0x8000 : 0, exponent;
  double size = fabs(number);
  if (isnan(number)) return 0x7e00;
  if (isinf(number)) return sign | 0x7c00;
  if (size == 0) return sign;
  double fraction = frexp(size, &exponent); /* size = fraction * 2^exponent, 0.5 <= fraction < 1 */
  if (exponent > 16 || exponent < -23) return -1;
  bool subnormal = exponent < -13;
  double mantissa = ldexp(fraction, subnormal ? exponent + 24 : 11);
  if (mantissa != floor(mantissa)) return -1;
  return sign | (subnormal ? (int)mantissa : ((exponent + 14) << 10) + ((int)mantissa - 1024));
}

static void put_number(JSContext *ctx, struct bytes *out, JSValueConst value) {
  double number;
  JS_ToFloat64(ctx, &number, value);
  if (number == floor(number) && fabs(number) <= SAFE && !(number == 0 && signbit(number))) {
    if (number >= 0) put_head(out, UNSIGNED, (uint64_t)number);
    else put_head(out, NEGATIVE, (uint64_t)(-1 - number));
    return;
  }
  int half = half_of(number);
  if (half >= 0) {
    put_byte(out, SIMPLE << 5 | 25);
    put_big_endian(out, (uint64_t)half, 2);
  } else if ((double)(float)number == number) {
    float single = (float)number;
    uint32_t word;
    memcpy(&word, &single, sizeof word);
    put_byte(out, SIMPLE << 5 | 26);
    put_big_endian(out, word, 4);
  } else {
    uint64_t word;
    memcpy(&word, &number, sizeof word);
    put_byte(out, SIMPLE << 5 | 27);
    put_big_endian(out, word, 8);
  }
}

static bool same(JSContext *ctx, JSValueConst one, JSValue other) {
  bool equal = JS_IsStrictEqual(ctx, one, other);
  JS_FreeValue(ctx, other);
  return equal;
}

static void put_big_integer(JSContext *ctx, struct bytes *out, JSValueConst value, const struct place *place) {
  int64_t number; /* the lowest 64 bits */
  JS_ToBigInt64(ctx, &number, value);
  if (same(ctx, value, JS_NewBigUint64(ctx, (uint64_t)number))) put_head(out, UNSIGNED, (uint64_t)number);
  else if (same(ctx, value, JS_NewBigInt64(ctx, number))) put_head(out, NEGATIVE, (uint64_t)(-1 - number));
  else fail_at(place, "a BigInt of more than 64 bits");
}

static void put_text_string(JSContext *ctx, struct bytes *out, JSValueConst value, const struct place *place) {
  size_t length;
  const char *text = utf8_of(ctx, value, &length, place);
  put_head(out, TEXT, length);
  put(out, text, length);
  JS_FreeCString(ctx, text);
}

static void put_elements(JSContext *ctx, struct bytes *out, JSValueConst array, const struct place *place) {
  int64_t length;
  struct place here = {place, array, NULL, 0, place->depth + 1};
  enter(place, array);
  if (JS_GetLength(ctx, array, &length)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
  put_head(out, ARRAY, (uint64_t)length);
  for (int64_t i = 0; i < length; i++) {
    here.index = (uint32_t)i;
    JSValue element = JS_GetPropertyInt64(ctx, array, i);
    if (JS_IsException(element)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
    encode(ctx, out, plain(ctx, element, &here), &here);
  }
}

/* A map's entries, each encoded; sorted by their keys' bytes before they are written. */
struct entries {
  struct bytes bytes;
  struct entry {
    size_t at, key, size;
  } *list;
  uint32_t count, room;
};

static const uint8_t *sorted_bytes; /* qsort hands nothing on to its comparison */

static int by_key(const void *one, const void *other) {
  const struct entry *a = one, *b = other;
  size_t shorter = a->key < b->key ? a->key : b->key;
  int order = memcmp(sorted_bytes + a->at, sorted_bytes + b->at, shorter);
  return order ? order : (a->key > b->key) - (a->key < b->key);
}

static void add_entry(JSContext *ctx, struct entries *all, JSValue key, JSValue value, const struct place *place) {
  if (all->count == all->room) {
    all->room = all->room * 2 + 8;
    all->list = realloc(all->list, all->room * sizeof *all->list);
    if (!all->list) fail(FAILED_BY_GUEST, "out of memory: there is no room for the result");
  }
  struct entry *entry = &all->list[all->count++];
  entry->at = all->bytes.length;
  encode(ctx, &all->bytes, key, place);
  entry->key = all->bytes.length - entry->at;
  encode(ctx, &all->bytes, value, place);
  entry->size = all->bytes.length - entry->at;
}

static void put_entries(struct bytes *out, struct entries *all) {
  sorted_bytes = all->bytes.at;
  if (all->count) qsort(all->list, all->count, sizeof *all->list, by_key);
  put_head(out, MAP, all->count);
  for (uint32_t i = 0; i < all->count; i++) put(out, all->bytes.at + all->list[i].at, all->list[i].size);
  free(all->list);
  free(all->bytes.at);
}

static void put_properties(JSContext *ctx, struct bytes *out, JSValueConst object, const struct place *place) {
  JSPropertyEnum *names;
  uint32_t count;
  struct entries all = {0};
  struct place here = {place, object, NULL, 0, place->depth + 1};
  enter(place, object);
  if (JS_GetOwnPropertyNames(ctx, &names, &count, object, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY))
    fail_with_exception(ctx, FAILED_BY_GUEST, "");
  for (uint32_t i = 0; i < count; i++) {
    here.key = JS_AtomToCString(ctx, names[i].atom);
    if (!here.key) fail_with_exception(ctx, FAILED_BY_GUEST, "");
    JSValue value = JS_GetProperty(ctx, object, names[i].atom);
    if (JS_IsException(value)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
    value = plain(ctx, value, &here);
    if (!JS_IsUndefined(value)) add_entry(ctx, &all, JS_AtomToString(ctx, names[i].atom), value, &here);
    JS_FreeCString(ctx, here.key);
  }
  JS_FreePropertyEnum(ctx, names, count);
  put_entries(out, &all);
}

/* Map.prototype.entries, as an array: the script may have put anything in the place of the built-in methods, and then gets
   what it asked for. */
static void put_map(JSContext *ctx, struct bytes *out, JSValueConst map, const struct place *place) {
  int64_t length;
  struct entries all = {0};
  struct place here = {place, map, NULL, 0, place->depth + 1};
  enter(place, map);
  JSValue global = JS_GetGlobalObject(ctx), array = JS_GetPropertyStr(ctx, global, "Array");
  JSAtom from = JS_NewAtom(ctx, "from");
  JSValue list = JS_Invoke(ctx, array, from, 1, (JSValueConst *)&map);
  if (JS_IsException(list) || JS_GetLength(ctx, list, &length)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
  for (int64_t i = 0; i < length; i++) {
    here.index = (uint32_t)i;
    JSValue pair = JS_GetPropertyInt64(ctx, list, i);
    JSValue key = JS_GetPropertyUint32(ctx, pair, 0), value = JS_GetPropertyUint32(ctx, pair, 1);
    if (JS_IsException(key) || JS_IsException(value)) fail_with_exception(ctx, FAILED_BY_GUEST, "");
    add_entry(ctx, &all, plain(ctx, key, &here), plain(ctx, value, &here), &here);
    JS_FreeValue(ctx, pair);
  }
  JS_FreeValue(ctx, list);
  JS_FreeAtom(ctx, from);
  JS_FreeValue(ctx, array);
  JS_FreeValue(ctx, global);
  put_entries(out, &all);
}

/* Takes `value`, which is plain. */
static void encode(JSContext *ctx, struct bytes *out, JSValue value, const struct place *place) {
  uint32_t count;
  if (JS_IsString(value)) put_text_string(ctx, out, value, place);
  else if (JS_IsNumber(value)) put_number(ctx, out, value);
  else if (JS_IsBigInt(value)) put_big_integer(ctx, out, value, place);
  else if (JS_IsBool(value)) put_byte(out, JS_ToBool(ctx, value) ? 0xf5 : 0xf4);
  else if (JS_IsNull(value)) put_byte(out, 0xf6);
  else if (JS_IsUndefined(value)) fail_at(place, "undefined (is a return missing?)");
  else if (JS_IsSymbol(value)) fail_at(place, "a symbol, which CBOR cannot hold");
  else if (JS_IsFunction(ctx, value)) fail_at(place, "a function, which CBOR cannot hold");
  else if (JS_IsSet(value)) fail_at(place, "a Set (see Array.from)");
  else if (JS_IsMap(value)) put_map(ctx, out, value, place);
  else if (JS_GetTypedArrayType(value) == JS_TYPED_ARRAY_UINT8) {
    size_t length;
    uint8_t *at = JS_GetUint8Array(ctx, &length, value);
    if (!at && length) fail_with_exception(ctx, FAILED_BY_GUEST, "");
    put_head(out, BYTES, length);
    put(out, at, length);
  } else if (JS_IsArray(value) || has_elements(ctx, value, &count)) put_elements(ctx, out, value, place);
  else put_properties(ctx, out, value, place);
  JS_FreeValue(ctx, value);
}

void encode_cbor(JSContext *ctx, struct bytes *out, JSValueConst value) {
  struct place top = {NULL, JS_UNDEFINED, NULL, 0, 0};
  encode(ctx, out, plain(ctx, JS_DupValue(ctx, value), &top), &top);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct reader {
  const uint8_t *start, *at, *end;
};

static _Noreturn void broken(const struct reader *in, const char *what) {
  fail(FAILED_BY_PUBLISHER, "the input is no CBOR that this function takes: %s at byte %zu", what, (size_t)(in->at - in->start));
}

static uint64_t take_number(struct reader *in, int size) {
  uint64_t number = 0;
  if (in->end - in->at < size) broken(in, "it ends too early");
  while (size--) number = number << 8 | *in->at++;
  return number;
}

static double number_of_half(unsigned half) {
  int exponent = half >> 10 & 31;
  double size = exponent == 0    ? ldexp(half & 1023, -24)
                : exponent != 31 ? ldexp((half & 1023) + 1024, exponent - 25)
                : half & 1023    ? NAN
                                 : INFINITY;
  return half & 0x8000 ? -size : size;
}

static JSValue checked(JSContext *ctx, JSValue value) {
  if (JS_IsException(value)) fail_with_exception(ctx, FAILED_BY_PUBLISHER, "the input cannot be taken in: ");
  return value;
}

static JSValue decode(JSContext *ctx, struct reader *in, int depth);

/* The bytes of one definite string, checked to be there. */
static const uint8_t *take_bytes(struct reader *in, uint64_t length) {
  if (length > (uint64_t)(in->end - in->at)) broken(in, "it ends too early");
  const uint8_t *at = in->at;
  in->at += length;
  return at;
}

static JSValue string_of(JSContext *ctx, struct reader *in, int major, const uint8_t *at, size_t length) {
  if (major == BYTES) return checked(ctx, JS_NewUint8ArrayCopy(ctx, at, length));
  if (not_utf8(at, length) >= 0) broken(in, "text that is no UTF-8 ends");
  return checked(ctx, JS_NewStringLen(ctx, (const char *)at, length));
}

static JSValue decode_pieces(JSContext *ctx, struct reader *in, int major) {
  struct bytes whole = {0};
  while (in->at < in->end && *in->at != BREAK) {
    uint8_t first = *in->at++;
    int low = first & 31;
    if (first >> 5 != major || low > 27) broken(in, "a piece of another kind in a string");
    uint64_t length = low < 24 ? (uint64_t)low : take_number(in, 1 << (low - 24));
    put(&whole, take_bytes(in, length), length);
  }
  take_number(in, 1);
  JSValue value = string_of(ctx, in, major, whole.at ? whole.at : (const uint8_t *)"", whole.length);
  free(whole.at);
  return value;
}

/* Whether the container goes on: by count, or until the break. */
static bool more(struct reader *in, bool indefinite, uint64_t *left) {
  if (!indefinite) return (*left)-- > 0;
  if (in->at == in->end) broken(in, "it ends too early");
  if (*in->at != BREAK) return true;
  in->at++;
  return false;
}

static JSValue decode_array(JSContext *ctx, struct reader *in, bool indefinite, uint64_t count, int depth) {
  JSValue array = checked(ctx, JS_NewArray(ctx));
  for (uint32_t i = 0; more(in, indefinite, &count); i++)
    if (JS_DefinePropertyValueUint32(ctx, array, i, decode(ctx, in, depth + 1), JS_PROP_C_W_E) < 0)
      checked(ctx, JS_EXCEPTION);
  return array;
}

/* An object when the keys are text, else a Map. */
static JSValue decode_map(JSContext *ctx, struct reader *in, bool indefinite, uint64_t count, int depth) {
  bool empty = indefinite ? in->at < in->end && *in->at == BREAK : count == 0;
  bool texts = empty || (in->at < in->end && *in->at >> 5 == TEXT); /* the first key decides */
  JSValue map = JS_UNDEFINED;
  if (texts) {
    map = checked(ctx, JS_NewObject(ctx));
  } else {
    JSValue global = JS_GetGlobalObject(ctx), constructor = JS_GetPropertyStr(ctx, global, "Map");
    map = checked(ctx, JS_CallConstructor(ctx, constructor, 0, NULL));
    JS_FreeValue(ctx, constructor);
    JS_FreeValue(ctx, global);
  }
  JSAtom set = JS_NewAtom(ctx, "set"), has = JS_NewAtom(ctx, "has");
  while (more(in, indefinite, &count)) {
    if (texts && (in->at == in->end || *in->at >> 5 != TEXT)) broken(in, "a map with keys of text and keys of another kind");
    JSValue key = decode(ctx, in, depth + 1);
    if (texts) {
      JSAtom name = JS_ValueToAtom(ctx, key);
      int known = JS_GetOwnProperty(ctx, NULL, map, name);
      if (known > 0) broken(in, "a key that stands twice in a map ends");
      if (known < 0 || JS_DefinePropertyValue(ctx, map, name, decode(ctx, in, depth + 1), JS_PROP_C_W_E) < 0)
        checked(ctx, JS_EXCEPTION);
      JS_FreeAtom(ctx, name);
    } else {
      JSValue known = checked(ctx, JS_Invoke(ctx, map, has, 1, (JSValueConst *)&key));
      if (JS_ToBool(ctx, known)) broken(in, "a key that stands twice in a map ends");
      JSValue pair[2] = {key, decode(ctx, in, depth + 1)};
      JS_FreeValue(ctx, checked(ctx, JS_Invoke(ctx, map, set, 2, (JSValueConst *)pair)));
      JS_FreeValue(ctx, pair[1]);
    }
    JS_FreeValue(ctx, key);
  }
  JS_FreeAtom(ctx, set);
  JS_FreeAtom(ctx, has);
  return map;
}

static JSValue decode_simple(JSContext *ctx, struct reader *in, int low, uint64_t number) {
  double value;
  if (low == 25) return JS_NewNumber(ctx, number_of_half((unsigned)number));
  if (low == 26) {
    uint32_t word = (uint32_t)number;
    float single;
    memcpy(&single, &word, sizeof single);
    return JS_NewNumber(ctx, single);
  }
  if (low == 27) {
    memcpy(&value, &number, sizeof value);
    return JS_NewNumber(ctx, value);
  }
  if (low == 20 || low == 21) return JS_NewBool(ctx, low == 21);
  if (low == 22) return JS_NULL;
  if (low == 23) return JS_UNDEFINED;
  broken(in, "a simple value that JavaScript has none for ends");
}

static JSValue decode(JSContext *ctx, struct reader *in, int depth) {
  if (depth > MAX_DEPTH) broken(in, "more than 200 levels of arrays and maps");
  uint8_t first = (uint8_t)take_number(in, 1);
  int major = first >> 5, low = first & 31;
  bool indefinite = low == INDEFINITE && major >= BYTES && major <= MAP;
  if (low > 27 && !indefinite) broken(in, "a reserved byte ends");
  uint64_t number = low < 24 || indefinite ? (uint64_t)low : take_number(in, 1 << (low - 24));
  switch (major) {
    case UNSIGNED:
      return number <= (uint64_t)SAFE ? JS_NewNumber(ctx, (double)number) : checked(ctx, JS_NewBigUint64(ctx, number));
    case NEGATIVE:
      if (number < (uint64_t)SAFE) return JS_NewNumber(ctx, -1 - (double)number);
      if (number > INT64_MAX) broken(in, "a negative integer of more than 64 bits ends");
      return checked(ctx, JS_NewBigInt64(ctx, -1 - (int64_t)number));
    case BYTES:
    case TEXT:
      return indefinite ? decode_pieces(ctx, in, major) : string_of(ctx, in, major, take_bytes(in, number), (size_t)number);
    case ARRAY:
      return decode_array(ctx, in, indefinite, number, depth);
    case MAP:
      return decode_map(ctx, in, indefinite, number, depth);
    case TAG:
      /* 0 and 1: a time as text or number; 55799: "this is CBOR". Others change what a value means. */
      if (number > 1 && number != 55799) broken(in, "a tag that JavaScript has no value for ends");
      return decode(ctx, in, depth + 1);
    default:
      return decode_simple(ctx, in, low, number);
  }
}

JSValue decode_cbor(JSContext *ctx, const uint8_t *from, size_t length) {
  struct reader in = {from, from, from + length};
  JSValue value = decode(ctx, &in, 0);
  if (in.at != in.end) broken(&in, "more bytes after the value begin");
  return value;
}
