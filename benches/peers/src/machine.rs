//! Where and with what a run was made, as far as the files of the system and the lock file tell.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;

const LOCK: &str = include_str!("../Cargo.lock");
/// From Debian's package: the lock file only has the binding.
#[cfg(feature = "rocksdb")]
const ROCKSDB_VERSIONS: &str = "/usr/include/rocksdb/version.h";

/// By name.
pub fn facts(place: &Path) -> BTreeMap<String, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let meminfo = read("/proc/meminfo");
    let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let cores = thread::available_parallelism().map_or("?".to_owned(), |cores| cores.to_string());
    let allocator = if cfg!(feature = "mimalloc") { "mimalloc" } else { "the system's" };
    let facts = [
        ("processor", format!("{cores} x {}", model.trim_start_matches([' ', '\t', ':']))),
        ("memory", memory.trim().to_owned()),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("file system", mount(place, &read("/proc/self/mounts"))),
        ("allocator", allocator.to_owned()),
        ("load before the run", read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")),
    ];
    facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect()
}

/// Type and options of the mount that a directory is on.
fn mount(place: &Path, mounts: &str) -> String {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).filter(|fields| fields.len() > 3);
    let of_place = fields.filter(|fields| place.starts_with(fields[1]));
    of_place
        .max_by_key(|fields| fields[1].len())
        .map_or("?".to_owned(), |fields| format!("{} ({})", fields[2], fields[3]))
}

/// The version of a package in this crate's lock file; RocksDB's is that of the library.
pub fn version(package: &str) -> String {
    #[cfg(feature = "rocksdb")]
    if package == "rocksdb" {
        let header = fs::read_to_string(ROCKSDB_VERSIONS).unwrap_or_default();
        let part = |name: &str| {
            let line = header.lines().find(|line| line.contains(name)).unwrap_or_default();
            line.rsplit(' ').next().unwrap_or("?").to_owned()
        };
        return ["ROCKSDB_MAJOR", "ROCKSDB_MINOR", "ROCKSDB_PATCH"].map(part).join(".");
    }
    let name = format!("name = \"{package}\"");
    let versions = LOCK.split("[[package]]").filter(|entry| entry.lines().any(|line| line == name));
    // Where there are several, the direct dependency is the newest, which comes last.
    let entry = versions.last().unwrap_or_default();
    let line = entry.lines().find_map(|line| line.strip_prefix("version = "));
    line.unwrap_or("?").trim_matches('"').to_owned()
}
