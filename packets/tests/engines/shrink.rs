//! Makes a project smaller, part by part, as long as a property holds.

use midoform_compiler::source::Source;

use crate::samples::Project;

/// Returns the smallest project that is found by leaving out tenants, tables and keys. The project itself has the property.
pub(super) fn smallest(project: &Project, holds: &dyn Fn(&Project) -> bool) -> Project {
    let mut small = project.clone();
    loop {
        let next = (0..parts(&small).len()).find_map(|at| {
            let smaller = without(&small, at);
            holds(&smaller).then_some(smaller)
        });
        match next {
            Some(smaller) => small = smaller,
            None => return small,
        }
    }
}

/// Returns the parts that may be left out: tenants, their tables (with their lines), and single lines.
fn parts(project: &Project) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut parts = Vec::new();
    for (tenant, source) in project.tenants.iter().enumerate() {
        let lines: Vec<&str> = source.text().lines().collect();
        parts.push((tenant, 0..lines.len()));
        let heads: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("[[")).collect();
        let ends = heads.iter().skip(1).copied().chain([lines.len()]);
        parts.extend(heads.iter().copied().zip(ends).map(|(from, to)| (tenant, from..to)));
        parts.extend((0..lines.len()).filter(|at| !heads.contains(at)).map(|at| (tenant, at..at + 1)));
    }
    parts
}

fn without(project: &Project, at: usize) -> Project {
    let (tenant, lines) = parts(project).swap_remove(at);
    let mut smaller = project.clone();
    let source = &project.tenants[tenant];
    let left: Vec<&str> = source
        .text()
        .lines()
        .enumerate()
        .filter(|(at, _)| !lines.contains(at))
        .map(|(_, line)| line)
        .collect();
    match left.is_empty() {
        true => drop(smaller.tenants.remove(tenant)),
        false => smaller.tenants[tenant] = Source::new(&*source.name, left.join("\n") + "\n"),
    }
    smaller
}
