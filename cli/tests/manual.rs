//! The manual: pages for `man`, completions, and the generated chapters of the reference.

use midoform_testutil::{TestFolder, root};

use crate::MIDOFORM;

#[test]
fn the_generated_chapters_are_current() {
    let folder = TestFolder::default();
    let _ = folder.run(MIDOFORM, &["manual", "new", "--markdown"]).expect_code(0);
    for entry in std::fs::read_dir(folder.path().join("new")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (path, new) = (root().join("docs/reference").join(&name), folder.read(&format!("new/{name}")));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &new).unwrap();
        } else {
            let old = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(old == new, "{} is not current: run this test with UPDATE_DOCS=1", path.display());
        }
    }
}

#[test]
fn every_command_has_a_page_and_every_option_a_meaning() {
    let folder = TestFolder::default();
    let _ = folder.run(MIDOFORM, &["manual", "."]).expect_code(0);
    for command in ["midoform", "midoform-plan", "midoform-store", "midoform-store-check"] {
        let page = folder.read(&format!("man/{command}.1"));
        assert!(page.contains(".TH") && page.contains(".SH NAME"), "{command}: {page}");
    }
    let plan = folder.read("man/midoform-plan.1");
    assert!(plan.contains("detailed\\-exitcode") && plan.contains("\\-\\-color"), "{plan}");
    for name in ["midoform.bash", "_midoform", "midoform.fish"] {
        assert!(folder.read(&format!("completions/{name}")).contains("detailed-exitcode"), "{name}");
    }
    let reference = std::fs::read_to_string(root().join("docs/reference/commands.md")).unwrap();
    let empty: Vec<&str> = reference.lines().filter(|line| line.ends_with("|  |")).collect();
    assert_eq!(empty, Vec::<&str>::new());
}

#[test]
fn a_folder_that_can_not_be_written_is_named() {
    let folder = TestFolder::default();
    folder.write("file", "");
    let failed = folder.run(MIDOFORM, &["manual", "file"]).expect_code(74);
    assert!(failed.stderr.contains("file/man/midoform.1"), "{}", failed.stderr);
}

/// A meaning that needs more than one line goes on below its beginning, not below the code.
#[test]
fn the_exit_codes_of_the_help_are_a_table() {
    let help = TestFolder::default().run(MIDOFORM, &["--help"]).expect_code(0).stdout;
    let (_, rest) = help.split_once("Exit codes:\n").unwrap();
    let (table, _) = rest.split_once("\n\n").unwrap();
    let (mut codes, mut further) = (0, 0);
    for line in table.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        let (head, text) = line.split_at(7);
        match head.trim().parse::<u8>() {
            Ok(_) => codes += 1,
            Err(_) => {
                assert_eq!(head, "       ", "{line}");
                further += 1;
            }
        }
        assert!(!text.is_empty() && !text.starts_with(' '), "{line}");
    }
    assert!(codes > 12 && further > 1, "{table}");
}
