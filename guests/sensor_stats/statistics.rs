//! Count, extremes, mean, spread and percentiles of a sample.

pub struct Statistics {
    count: usize,
    skipped: usize,
    mean: f64,
    stddev: f64,
    sorted: Vec<f64>,
}

impl Statistics {
    pub fn of(mut values: Vec<f64>, skipped: usize) -> Self {
        // Welford's recurrence (Technometrics 4, 1962): no difference of large sums.
        let (mut mean, mut squares) = (0.0, 0.0);
        for (before, value) in values.iter().enumerate() {
            let off = value - mean;
            mean += off / (before + 1) as f64;
            squares += off * (value - mean);
        }
        values.sort_by(f64::total_cmp);
        let stddev = (squares / values.len().max(1) as f64).sqrt();
        Statistics { count: values.len(), skipped, mean, stddev, sorted: values }
    }

    /// Linear interpolation between the two nearest ranks, 0 <= share <= 1; there is at least one value.
    fn percentile(&self, share: f64) -> f64 {
        let rank = share * (self.count - 1) as f64;
        let (low, part) = (self.sorted[rank as usize], rank.fract());
        let high = self.sorted[(rank as usize + 1).min(self.count - 1)];
        if low == high {
            return low; // rounding must not push it past its neighbours
        }
        low * (1.0 - part) + high * part // not low + (high - low) * part: the difference may overflow
    }

    pub fn to_json(&self) -> String {
        let mut json = format!("{{\"count\":{},\"skipped\":{}", self.count, self.skipped);
        let figures: [(&str, &dyn Fn() -> f64); 7] = [
            ("min", &|| self.sorted[0]),
            ("max", &|| self.sorted[self.count - 1]),
            ("mean", &|| self.mean),
            ("stddev", &|| self.stddev),
            ("p50", &|| self.percentile(0.5)),
            ("p90", &|| self.percentile(0.9)),
            ("p99", &|| self.percentile(0.99)),
        ];
        for (name, figure) in figures {
            let text = if self.count == 0 { String::from("null") } else { number(figure()) };
            json += &format!(",\"{name}\":{text}");
        }
        json + "}"
    }
}

/// The shortest text that reads back as the same double; `null` for what JSON cannot say.
fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        String::from("null")
    } else if size == 0.0 || (1e-4..1e16).contains(&size) {
        format!("{value}")
    } else {
        format!("{value:e}") // without an exponent these may have 300 digits
    }
}
