//! What a process has used.

use std::fs::read_to_string;

use anyhow::{Context, Result};

/// Bytes of memory that a process holds now.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.context("no VmRSS")?.parse::<u64>()? * 1024)
}

/// Processor time of all threads of a process.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    /// Linux shows times in hundredths of a second, whatever its own clock does (`USER_HZ`).
    const TICKS: f64 = 100.0;
    let stat = read_to_string(format!("/proc/{pid}/stat"))?;
    // proc(5): the name, in parentheses, may have spaces; utime and stime are the 14th and the 15th field.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks = times.map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS)
}
