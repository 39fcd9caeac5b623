//! As much of JSON (RFC 8259) as an array of readings needs; what is not a reading's value is checked and left alone.

/// Arrays and objects in one another; a guest's stack is small.
const DEPTH: usize = 64;

pub struct Error {
    /// Offset in the input.
    pub at: usize,
    pub what: &'static str,
}

pub struct Readings {
    pub values: Vec<f64>,
    pub skipped: usize,
}

pub struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Reader { text, at: 0 }
    }

    /// The whole input: one array of readings.
    pub fn readings(mut self) -> Result<Readings, Error> {
        let mut readings = Readings { values: Vec::new(), skipped: 0 };
        self.blank();
        if self.peek() != b'[' {
            return self.fail("the input must be an array of readings");
        }
        self.array(|reader| {
            match reader.reading()? {
                Some(value) => readings.values.push(value),
                None => readings.skipped += 1,
            }
            Ok(())
        })?;
        self.blank();
        if self.at < self.text.len() {
            return self.fail("something stands behind the array");
        }
        Ok(readings)
    }

    fn reading(&mut self) -> Result<Option<f64>, Error> {
        match self.peek() {
            b'-' | b'0'..=b'9' => self.number().map(Some),
            b'n' => self.word("null").map(|()| None),
            b'{' => {
                let mut value = None;
                self.object(|reader, key| match (key, reader.peek()) {
                    (b"value", b'-' | b'0'..=b'9') => {
                        value = Some(reader.number()?);
                        Ok(())
                    }
                    _ => reader.skip(1),
                })?;
                Ok(value)
            }
            _ => self.fail("a reading is a number, null or an object with a value"),
        }
    }

    fn skip(&mut self, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return self.fail("arrays and objects are nested too deeply");
        }
        match self.peek() {
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b'"' => self.string().map(drop),
            b'[' => self.array(|reader| reader.skip(depth + 1)),
            b'{' => self.object(|reader, _| reader.skip(depth + 1)),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.fail("a value is missing"),
        }
    }

    /// Calls `item` in front of each element.
    fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.at += 1;
        self.blank();
        if self.peek() == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            item(self)?;
            self.blank();
            self.at += 1;
            match self.text.get(self.at - 1) {
                Some(b',') => {}
                Some(b']') => return Ok(()),
                _ => return self.fail_before("a comma or ] is missing"),
            }
        }
    }

    /// Calls `member` in front of each value, with the name that it has.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &[u8]) -> Result<(), Error>) -> Result<(), Error> {
        self.at += 1;
        self.blank();
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            if self.peek() != b'"' {
                return self.fail("a member's name is missing");
            }
            let name = self.string()?;
            self.blank();
            if self.peek() != b':' {
                return self.fail("a colon is missing");
            }
            self.at += 1;
            self.blank();
            member(self, name)?;
            self.blank();
            self.at += 1;
            match self.text.get(self.at - 1) {
                Some(b',') => {}
                Some(b'}') => return Ok(()),
                _ => return self.fail_before("a comma or } is missing"),
            }
        }
    }

    /// What stands between the quotes, escapes as they are written.
    fn string(&mut self) -> Result<&'a [u8], Error> {
        self.at += 1;
        let begin = self.at;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(0..=0x1f) => return self.fail("a control character stands in a string"),
                Some(_) => self.at += 1,
                None => {
                    self.at = self.text.len();
                    return self.fail("a string has no end");
                }
            }
        }
        self.at += 1;
        Ok(&self.text[begin..self.at - 1])
    }

    fn number(&mut self) -> Result<f64, Error> {
        let begin = self.at;
        self.at += usize::from(self.peek() == b'-');
        let whole = self.at;
        self.digits()?;
        if self.text[whole] == b'0' && self.at > whole + 1 {
            return self.fail("a number has a leading zero");
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if let b'e' | b'E' = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        // Only ASCII was let through, and Rust reads every JSON number.
        let value: f64 = std::str::from_utf8(&self.text[begin..self.at]).unwrap().parse().unwrap();
        if value.is_infinite() {
            return self.fail("a number is beyond a double's range");
        }
        Ok(value)
    }

    fn digits(&mut self) -> Result<(), Error> {
        if !self.peek().is_ascii_digit() {
            return self.fail("a digit is missing");
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), Error> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return self.fail("a value is missing");
        }
        self.at += word.len();
        Ok(())
    }

    fn blank(&mut self) {
        while let b' ' | b'\t' | b'\n' | b'\r' = self.peek() {
            self.at += 1;
        }
    }

    /// The next byte; 0, which JSON has nowhere, at the end.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, Error> {
        Err(Error { at: self.at, what })
    }

    fn fail_before<T>(&self, what: &'static str) -> Result<T, Error> {
        Err(Error { at: self.at - 1, what })
    }
}
