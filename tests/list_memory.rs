//! What lists of users cost. Alone in its program, because it reads the memory of the whole process.
#![cfg(all(feature = "net", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

use talk::codec::registry::decode_users;
use talk::limits::Limits;

/// The most memory that this process ever had resident, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn filled(before: &str, filling: &str, after: &str, bytes: usize) -> String {
    let times = (bytes - before.len() - after.len()) / filling.len();
    [before, &filling.repeat(times), after].concat()
}

#[test]
fn a_hostile_list_costs_little_more_than_its_bytes() {
    let limits = Limits::default();
    let bytes = 8 << 20;
    let many: String = {
        let user = |number: u32| format!(r#""{number}":{{"host":"h","port":1}},"#);
        (0..bytes as u32 / 32).map(user).collect()
    };
    let lists = [
        filled(r#"{"a":["#, "1,", "1]}", bytes),
        filled(r#"{"a":{"host":"h","port":1,"x":["#, "{},", "1]}}", bytes),
        filled(r#"{"a":{"host":"h","port":1,"features":["#, "\"\",", "\"\"]}}", bytes),
        filled(r#"{"a":"#, "[", "", bytes),
        filled("{", r#""b ad":{"host":"h","port":1},"#, r#""z":0}"#, bytes),
        filled("{", r#""a":{"host":"h","port":0,"x":[1,1,1,1]},"#, r#""z":0}"#, bytes),
        format!("{{{many}\"z\":0}}"),
    ];
    for list in &lists {
        let before = peak();
        let users = decode_users(list.as_bytes(), limits.users).map_or(0, |users| users.len());
        let grown = peak() - before;
        assert!(grown < 24 << 20, "{} MiB for {}", grown >> 20, &list[..40]);
        assert!(users <= limits.users);
    }
}
