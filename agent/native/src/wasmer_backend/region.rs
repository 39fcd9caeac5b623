//! Address space for linear memories, used again from run to run.
//!
//! A region is mapped once, as large as the run's cap, so that a memory never moves. What a run has touched is zeroed
//! when it comes back: page by page while that is few, by `MADV_DONTNEED` when it is many.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Regions that wait for the next run; a process rarely has more runs at once.
const IDLE: usize = 8;
/// Bytes of them together, unless the newest alone has more: a worker's address space is bounded.
const IDLE_BYTES: usize = 64 << 20;
/// Resident bytes that are zeroed by hand rather than given back to the kernel.
const BY_HAND: usize = 512 << 10;
/// Inaccessible bytes behind a region; the bounds checks do not rely on them.
const GUARD: usize = 64 << 10;

/// The oldest first.
static POOL: Mutex<Vec<Region>> = Mutex::new(Vec::new());

fn pool() -> MutexGuard<'static, Vec<Region>> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A private anonymous mapping, all zero.
#[derive(Debug)]
pub struct Region {
    pub base: *mut u8,
    pub size: usize,
}

// SAFETY: a region is plain memory that one owner uses at a time.
unsafe impl Send for Region {}
// SAFETY: as above; shared references read the two numbers only.
unsafe impl Sync for Region {}

impl Region {
    /// A zeroed region of at least `size` bytes; `None` when the kernel refuses even with no idle region left.
    pub fn take(size: usize) -> Option<Self> {
        let fits = |region: &Self| region.size >= size && region.size / 2 <= size;
        let mut idle = pool();
        if let Some(index) = idle.iter().position(fits) {
            return Some(idle.remove(index));
        }
        drop(idle);
        Self::map(size).or_else(|| {
            let idle = std::mem::take(&mut *pool());
            drop(idle);
            Self::map(size)
        })
    }

    /// Give it back after `used` bytes at its start may have been written.
    pub fn give_back(self, used: usize) {
        self.clean(used);
        let mut idle = pool();
        idle.push(self);
        let mut bytes = 0;
        let kept = idle.iter().rev().enumerate().take_while(|(count, region)| {
            bytes += region.size;
            *count == 0 || *count < IDLE && bytes <= IDLE_BYTES
        });
        // The oldest go: sizes that nobody asks for any more age out.
        let surplus = idle.len() - kept.count();
        let surplus: Vec<_> = idle.drain(..surplus).collect();
        drop(idle);
        drop(surplus);
    }

    fn map(size: usize) -> Option<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size + GUARD,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return None;
        }
        let region = Self { base: base.cast(), size };
        // SAFETY: both ranges lie in the new mapping. Huge pages would make every first touch cost 2 MiB of zeroes.
        unsafe {
            libc::mprotect(region.base.add(size).cast(), GUARD, libc::PROT_NONE);
            libc::madvise(base, size, libc::MADV_NOHUGEPAGE);
        }
        Some(region)
    }

    fn clean(&self, used: usize) {
        let page = page_size();
        let pages = used.div_ceil(page);
        let mut resident = [0_u8; 2_048];
        if pages <= resident.len() {
            // SAFETY: `resident` has a byte for every page of the range, which lies in the mapping.
            let known = unsafe { libc::mincore(self.base.cast(), pages * page, resident.as_mut_ptr().cast()) } == 0;
            let touched = resident[..pages].iter().filter(|page| **page & 1 == 1).count();
            if known && touched * page <= BY_HAND {
                for run in resident[..pages].chunk_by(|one, next| one & 1 == next & 1) {
                    let start = (run.as_ptr() as usize - resident.as_ptr() as usize) * page;
                    // SAFETY: the run's pages lie in the region, which nobody else uses now.
                    let at = unsafe { self.base.add(start) };
                    if run[0] & 1 == 1 {
                        // SAFETY: as above.
                        unsafe { std::ptr::write_bytes(at, 0, run.len() * page) };
                    } else {
                        // Never touched, or swapped out with what an earlier guest left there.
                        // SAFETY: as above; a private anonymous page reads as zero afterwards.
                        unsafe { libc::madvise(at.cast(), run.len() * page, libc::MADV_DONTNEED) };
                    }
                }
                return;
            }
        }
        // SAFETY: the range lies in the mapping, which is private and anonymous: it reads as zero afterwards.
        unsafe { libc::madvise(self.base.cast(), pages * page, libc::MADV_DONTNEED) };
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `map` made.
        unsafe { libc::munmap(self.base.cast(), self.size + GUARD) };
    }
}

fn page_size() -> usize {
    static PAGE: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    // SAFETY: sysconf reads a constant of the system.
    *PAGE.get_or_init(|| usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4_096))
}
