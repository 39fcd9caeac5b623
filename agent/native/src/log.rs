//! What a guest wrote to stdout and stderr.

/// Bytes in order, cut at a cap; the cut is marked within the cap.
pub struct Log {
    bytes: Vec<u8>,
    cap: usize,
    dropped: u64,
}

impl Log {
    pub fn new(cap: usize) -> Self {
        Self { bytes: Vec::new(), cap, dropped: 0 }
    }

    pub fn write(&mut self, text: &[u8]) {
        let kept = text.len().min(self.cap - self.bytes.len());
        self.bytes.extend_from_slice(&text[..kept]);
        self.dropped += (text.len() - kept) as u64;
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.dropped == 0
    }

    /// The log so far; what follows starts a new one.
    pub fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let mark = format!("\n[log cut: the guest wrote {} bytes]\n", bytes.len() as u64 + dropped);
            if let Some(end) = self.cap.checked_sub(mark.len()) {
                bytes.truncate(end);
                bytes.extend_from_slice(mark.as_bytes());
            }
        }
        bytes
    }
}
