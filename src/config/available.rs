//! How much memory this process can have: that of the machine, and the limits of the control groups that it is in.
//!
//! Linux only, from `/proc` and the control groups' file systems; elsewhere nothing is there to be read. What cannot be
//! read or understood sets no limit.
//!
//! Version 2 has its limit in `memory.max` of each group, version 1 in `memory.limit_in_bytes` of each group of the
//! `memory` hierarchy. A process is also bound by the limits of all groups above its own, as far up as its mounts show
//! them.

use std::fs;
use std::path::{Path, PathBuf};

/// In bytes; none if nothing can be read.
pub(super) fn bytes() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let total = read(Path::new("/proc/meminfo")).as_deref().and_then(total);
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mounts = read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    let limits = files(&groups, &mounts).into_iter().filter_map(|file| limit(&read(&file)?));
    limits.chain(total).min()
}

/// `MemTotal` of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What a limit's file says. Version 2 has `max` where there is none, version 1 a number larger than any memory.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Where a version has its limits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The files with the limits of a process's groups and of all above them: from its `/proc/self/cgroup` and
/// `/proc/self/mountinfo`.
fn files(groups: &str, mounts: &str) -> Vec<PathBuf> {
    groups.lines().filter_map(group).flat_map(|(version, group)| files_of(version, group, mounts)).collect()
}

/// The version and the path of a line `hierarchy:controllers:path`, if it is about memory.
fn group(line: &str) -> Option<(Version, &Path)> {
    let mut fields = line.splitn(3, ':');
    let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let version = match controllers {
        "" if hierarchy == "0" => Version::Two,
        _ if controllers.split(',').any(|controller| controller == "memory") => Version::One,
        _ => return None,
    };
    Some((version, Path::new(path)))
}

fn files_of(version: Version, group: &Path, mounts: &str) -> Vec<PathBuf> {
    let Some((root, mounted)) = mounts.lines().find_map(|line| mount(line, version)) else { return Vec::new() };
    let name = match version {
        Version::One => "memory.limit_in_bytes",
        Version::Two => "memory.max",
    };
    // In a container the group may be named as outside of it, while the mount shows no more than that group.
    let below = group.strip_prefix(root).unwrap_or(Path::new(""));
    below.ancestors().map(|group| mounted.join(group).join(name)).collect()
}

/// Which group a mount of that version shows, and where, from a line of `mountinfo`: its fields 4 and 5, and behind a
/// `-` the file system's type, its source and its own options.
fn mount(line: &str, version: Version) -> Option<(&Path, &Path)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, mounted) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let (kind, options) = (kind.next()?, kind.nth(1)?);
    let is_wanted = match version {
        Version::One => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
        Version::Two => kind == "cgroup2",
    };
    is_wanted.then_some((Path::new(root), Path::new(mounted)))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const V1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n";
    const V2: &str = "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn named(groups: &str, mounts: &str) -> Vec<String> {
        files(groups, mounts).into_iter().map(|file| file.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_first_version_has_a_hierarchy_for_memory() {
        let found = named("9:name=systemd:/\n4:memory:/outer/inner\n3:cpuset:/\n0::/\n", V1);
        let expected = ["outer/inner/", "outer/", ""];
        assert_eq!(found, expected.map(|group| format!("/sys/fs/cgroup/memory/{group}memory.limit_in_bytes")));
        let found = named("4:cpu,memory:/\n", V1);
        assert_eq!(found, ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
    }

    #[test]
    fn the_second_version_has_one_for_everything() {
        let found = named("0::/user.slice/a:b.service\n", V2);
        let expected = ["user.slice/a:b.service/", "user.slice/", ""];
        assert_eq!(found, expected.map(|group| format!("/sys/fs/cgroup/{group}memory.max")));
    }

    #[test]
    fn both_versions_may_be_there() {
        let found = named("4:memory:/a\n0::/b\n", &format!("{V1}{V2}"));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.contains(&"/sys/fs/cgroup/memory/a/memory.limit_in_bytes".to_owned()));
        assert!(found.contains(&"/sys/fs/cgroup/b/memory.max".to_owned()));
    }

    /// A container sees its own group as the root of the mount, and may be told its path outside.
    #[test]
    fn a_mount_may_show_a_part_only() {
        let mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let own = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        assert_eq!(named("4:memory:/docker/abc\n", mounts), [own]);
        assert_eq!(named("4:memory:/elsewhere\n", mounts), [own]);
        let inner = "/sys/fs/cgroup/memory/inner/memory.limit_in_bytes";
        assert_eq!(named("4:memory:/docker/abc/inner\n", mounts), [inner, own]);
    }

    #[test]
    fn what_is_not_understood_names_no_file() {
        for groups in ["", "garbage", "1:2", "::", "x::/", "4:mem:/a", "\u{fffd}\n\n:::\n"] {
            assert_eq!(named(groups, &format!("{V1}{V2}")), Vec::<String>::new(), "{groups}");
        }
        for mounts in
            ["", "garbage", " - ", "1 2 3 - cgroup2 x rw", "1 2 3 / /a rw - cgroup2", "1 2 3 / /a - tmpfs a b"]
        {
            assert_eq!(named("4:memory:/a\n0::/b\n", mounts), Vec::<String>::new(), "{mounts}");
        }
    }

    #[test]
    fn a_limit_is_a_number_or_none() {
        assert_eq!(limit("536870912\n"), Some(512 << 20));
        assert_eq!(limit("9223372036854771712\n"), Some(9_223_372_036_854_771_712));
        for none in ["max\n", "", "\n", "-1\n", "12 MB", "99999999999999999999999"] {
            assert_eq!(limit(none), None, "{none}");
        }
    }

    #[test]
    fn the_total_is_in_kibibytes() {
        assert_eq!(total("MemTotal:       16384256 kB\nMemFree:  5 kB\n"), Some(16_384_256 * 1024));
        for none in ["", "MemFree: 5 kB", "MemTotal: kB", "MemTotal: 5", "MemTotal: 99999999999999999999 kB"] {
            assert_eq!(total(none), None, "{none}");
        }
        assert_eq!(total(&format!("MemTotal: {} kB", u64::MAX)), None);
    }
}
