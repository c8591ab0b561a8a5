//! The program of this example, as its reader runs it.

use std::process::Command;

#[test]
fn what_was_written_is_in_the_file_that_is_opened_anew() {
    let ran = Command::new(env!("CARGO_BIN_EXE_custom-store")).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.starts_with("hello, world\n") && said.contains("opened anew: Some(Confirmed)"), "{said}");
}
