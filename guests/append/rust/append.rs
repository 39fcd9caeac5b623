//! The reference guest: appends `<---- This is your string` to a UTF-8 string, in place.
//!
//! The same file is built for `wasm32-unknown-unknown`, where it imports nothing, and for `wasm32-wasip1`, where Rust's
//! standard library imports `fd_write`, `environ_get`, `environ_sizes_get` and `proc_exit` to report a panic.

use std::alloc::Layout;

const SUFFIX: &str = "<---- This is your string";

fn layout(size: usize) -> Layout {
    // An allocator must not be asked for nothing; the host may well have an empty input and no headroom.
    Layout::array::<u8>(size.max(1)).expect("a buffer of that size cannot exist")
}

/// Address of a fresh buffer of `size` bytes.
#[no_mangle]
pub extern "C" fn alloc(size: usize) -> *mut u8 {
    let layout = layout(size);
    let buffer = unsafe { std::alloc::alloc(layout) };
    if buffer.is_null() {
        std::alloc::handle_alloc_error(layout);
    }
    buffer
}

/// Takes back what `alloc(size)` gave, so that one instance can serve any number of calls.
///
/// # Safety
/// `pointer` came from `alloc` with this very size.
#[no_mangle]
pub unsafe extern "C" fn dealloc(pointer: *mut u8, size: usize) {
    std::alloc::dealloc(pointer, layout(size));
}

/// Reads `size` bytes at `pointer`, writes the result to the same place and returns its size.
///
/// # Safety
/// The buffer at `pointer` holds at least `size + SUFFIX.len()` bytes: the host adds a headroom of 30.
#[no_mangle]
pub unsafe extern "C" fn append(pointer: *mut u8, size: usize) -> usize {
    let input = std::str::from_utf8(std::slice::from_raw_parts(pointer, size)).expect("the input is not UTF-8");
    let end = pointer.add(input.len());
    std::ptr::copy_nonoverlapping(SUFFIX.as_ptr(), end, SUFFIX.len());
    input.len() + SUFFIX.len()
}
