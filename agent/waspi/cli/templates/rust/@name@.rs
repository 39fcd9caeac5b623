// The host calls alloc, writes the input there, calls the entry, and reads the result at the same place.

#[no_mangle]
pub extern "C" fn alloc(size: usize) -> *mut u8 {
    let mut buffer = Vec::with_capacity(size.max(1));
    let pointer = buffer.as_mut_ptr();
    std::mem::forget(buffer); // the host's until dealloc
    pointer
}

#[no_mangle]
pub unsafe extern "C" fn dealloc(pointer: *mut u8, size: usize) {
    drop(Vec::from_raw_parts(pointer, 0, size.max(1)));
}

/// Upper case, in place. Returns the size of the result.
#[no_mangle]
pub unsafe extern "C" fn run(pointer: *mut u8, size: usize) -> usize {
    std::slice::from_raw_parts_mut(pointer, size).make_ascii_uppercase();
    size
}
