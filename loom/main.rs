#[cfg(not(loom))]
compile_error!("loom");
fn main() {}
