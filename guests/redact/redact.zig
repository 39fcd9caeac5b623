//! Text filter: writes [email], [ip] and [card] where e-mail addresses, IPv4 addresses and card numbers stood.
//!
//! Shows three things that the reference guest does not need:
//! - the packed result: `redact` returns `ptr << 32 | size`, since the text may grow ("a@b.io" is shorter than "[email]");
//! - `dealloc`, by which the host gives back its input and this result;
//! - a WASI reactor: `main` runs as the export `_initialize`, before anything else; the counts go to stderr, the job's log.

const std = @import("std");

const allocator = std.heap.wasm_allocator;

extern "wasi_snapshot_preview1" fn fd_write(fd: i32, vectors: [*]const Vector, count: usize, written: *usize) u16;
const Vector = extern struct { base: [*]const u8, len: usize };
const stderr = 2;

/// Bytes of which addresses and numbers are made; all others end them.
var word_byte: [256]bool = undefined;
var initialized = false;

pub fn main() void {
    for (&word_byte, 0..) |*flag, byte| {
        flag.* = switch (byte) {
            'a'...'z', 'A'...'Z', '0'...'9', '.', '_', '%', '+', '-', '@' => true,
            else => false,
        };
    }
    initialized = true;
}

/// Address of a fresh buffer of `size` bytes; traps when there is no memory left.
export fn alloc(size: usize) [*]u8 {
    return (allocator.alloc(u8, @max(size, 1)) catch @trap()).ptr;
}

/// Takes back what `alloc(size)` gave, or the result at `pointer` of `size` bytes.
export fn dealloc(pointer: [*]u8, size: usize) void {
    allocator.free(pointer[0..@max(size, 1)]);
}

/// Reads `size` bytes at `pointer`; the result is `ptr << 32 | size` of a new buffer.
export fn redact(pointer: [*]const u8, size: usize) u64 {
    if (!initialized) @trap(); // the host has to call _initialize first
    var filter = Filter{ .text = pointer[0..size] };
    const result = filter.run() catch @trap();
    filter.report();
    if (filter.size == 0) { // the host does not give back an empty result
        dealloc(result.ptr, 0);
        return 0;
    }
    return @as(u64, @intFromPtr(result.ptr)) << 32 | filter.size;
}

const Filter = struct {
    text: []const u8,
    at: usize = 0,
    out: []u8 = &.{},
    size: usize = 0,
    emails: usize = 0,
    addresses: usize = 0,
    cards: usize = 0,

    /// The result in a buffer of `self.size` bytes, or of one byte when it is empty.
    fn run(self: *Filter) ![]u8 {
        // The shortest e-mail address, a@b.io, has six bytes and becomes seven: nothing grows more.
        self.out = try allocator.alloc(u8, self.text.len + self.text.len / 6 + 1);
        while (self.at < self.text.len) {
            if (!word_byte[self.text[self.at]]) {
                self.copy(self.at + 1);
            } else if (cardEnd(self.text, self.at)) |end| {
                self.replace("[card]", end);
                self.cards += 1;
            } else {
                self.word();
            }
        }
        // The host knows the result's size, not the buffer's: they have to be the same when it calls dealloc.
        return allocator.realloc(self.out, @max(self.size, 1));
    }

    fn word(self: *Filter) void {
        var end = self.at;
        while (end < self.text.len and word_byte[self.text[end]]) end += 1;
        const whole = end;
        while (end > self.at and self.text[end - 1] == '.') end -= 1; // a sentence may end behind an address
        if (isEmail(self.text[self.at..end])) {
            self.replace("[email]", end);
            self.emails += 1;
        } else if (isIpv4(self.text[self.at..end])) {
            self.replace("[ip]", end);
            self.addresses += 1;
        }
        self.copy(whole);
    }

    fn copy(self: *Filter, end: usize) void {
        const piece = self.text[self.at..end];
        @memcpy(self.out[self.size .. self.size + piece.len], piece);
        self.size += piece.len;
        self.at = end;
    }

    fn replace(self: *Filter, mark: []const u8, end: usize) void {
        @memcpy(self.out[self.size .. self.size + mark.len], mark);
        self.size += mark.len;
        self.at = end;
    }

    fn report(self: *const Filter) void {
        if (self.emails + self.addresses + self.cards == 0) return;
        var line: [128]u8 = undefined;
        const counts = .{ self.emails, self.addresses, self.cards };
        const text = std.fmt.bufPrint(&line, "redact: {d} email, {d} ip, {d} card\n", counts) catch unreachable;
        const vector = [1]Vector{.{ .base = text.ptr, .len = text.len }};
        var written: usize = 0;
        _ = fd_write(stderr, &vector, 1, &written); // no log is no reason to fail
    }
};

/// Local part, one @, and a domain of at least two labels whose last is of two letters or more.
fn isEmail(word: []const u8) bool {
    const sign = std.mem.indexOfScalar(u8, word, '@') orelse return false;
    if (sign == 0 or std.mem.lastIndexOfScalar(u8, word, '@') != sign) return false;
    var labels = std.mem.splitScalar(u8, word[sign + 1 ..], '.');
    var count: usize = 0;
    var last_is_name = false;
    while (labels.next()) |label| : (count += 1) {
        if (label.len == 0) return false;
        last_is_name = label.len >= 2;
        for (label) |byte| {
            if (!std.ascii.isAlphanumeric(byte) and byte != '-') return false;
            if (!std.ascii.isAlphabetic(byte)) last_is_name = false;
        }
    }
    return count >= 2 and last_is_name;
}

/// Four decimal octets without sign or leading zero.
fn isIpv4(word: []const u8) bool {
    var octets = std.mem.splitScalar(u8, word, '.');
    var count: usize = 0;
    while (octets.next()) |octet| : (count += 1) {
        if (octet.len == 0 or octet.len > 3 or (octet.len > 1 and octet[0] == '0')) return false;
        var value: usize = 0;
        for (octet) |byte| {
            if (!std.ascii.isDigit(byte)) return false;
            value = value * 10 + (byte - '0');
        }
        if (value > 255) return false;
    }
    return count == 4;
}

/// End of the longest card number that begins at `begin`: 13 to 19 digits with single spaces or hyphens between some of
/// them, the check digit right (ISO/IEC 7812-1, annex B), no word byte behind it.
fn cardEnd(text: []const u8, begin: usize) ?usize {
    var digits: [19]u8 = undefined;
    var count: usize = 0;
    var at = begin;
    var found: ?usize = null;
    while (at < text.len and std.ascii.isDigit(text[at]) and count < digits.len) {
        digits[count] = text[at] - '0';
        count += 1;
        at += 1;
        const ends = at == text.len or !word_byte[text[at]];
        if (count >= 13 and ends and luhn(digits[0..count])) found = at;
        if (at + 1 < text.len and (text[at] == ' ' or text[at] == '-') and std.ascii.isDigit(text[at + 1])) at += 1;
    }
    return found;
}

fn luhn(digits: []const u8) bool {
    var sum: usize = 0;
    for (digits, 0..) |digit, index| {
        const doubled = (digits.len - index) % 2 == 0;
        const value = if (doubled) @as(usize, digit) * 2 else digit;
        sum += if (value > 9) value - 9 else value;
    }
    return sum % 10 == 0;
}
