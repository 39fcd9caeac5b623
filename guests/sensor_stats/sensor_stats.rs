//! Statistics over sensor readings: a JSON array in, a JSON object out, in the input's buffer.
//!
//! A reading is a number, or an object whose `value` is one (other members are left alone). `null`, and an object without a
//! number in `value`, count as skipped. Percentiles are interpolated between neighbours; `stddev` is the population's.
//!
//! Shows how a WASI guest speaks to the operator: what it writes to stderr is the job's log, and `exit` with a status
//! other than 0 ends the job as FAILED with `error.kind` "exit".

mod json;
mod statistics;

use std::alloc::Layout;

use json::Reader;
use statistics::Statistics;

/// What `abi.toml` asks the host for; no result is longer.
const HEADROOM: usize = 384;

fn layout(size: usize) -> Layout {
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

/// Takes back what `alloc(size)` gave.
///
/// # Safety
/// `pointer` came from `alloc` with this very size.
#[no_mangle]
pub unsafe extern "C" fn dealloc(pointer: *mut u8, size: usize) {
    std::alloc::dealloc(pointer, layout(size));
}

/// Reads `size` bytes of JSON at `pointer`, writes the statistics to the same place and returns their size.
///
/// # Safety
/// The buffer at `pointer` holds `size + HEADROOM` bytes.
#[no_mangle]
pub unsafe extern "C" fn sensor_stats(pointer: *mut u8, size: usize) -> usize {
    let result = match Reader::new(std::slice::from_raw_parts(pointer, size)).readings() {
        Ok(readings) => {
            if readings.skipped > 0 {
                eprintln!("sensor_stats: {} without a value", readings.skipped);
            }
            Statistics::of(readings.values, readings.skipped).to_json()
        }
        Err(error) => {
            eprintln!("sensor_stats: byte {}: {}", error.at, error.what);
            std::process::exit(1);
        }
    };
    assert!(result.len() <= size + HEADROOM, "the headroom in abi.toml is too small");
    std::ptr::copy_nonoverlapping(result.as_ptr(), pointer, result.len());
    result.len()
}
