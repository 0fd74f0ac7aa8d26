//! Projects with `[ovn]`, and their rows.

use midoform_compiler::ovn::lint;
use midoform_compiler::ovn::lower::lower;
use midoform_compiler::source::{Locations, Source};
use midoform_compiler::topology::kinds::{Object, Row};
use midoform_compiler::topology::{Entry, Topology};
use midoform_compiler::{Allocated, Compiled, Input, compile};

use crate::samples::Project;

/// `[ovn]` of the examples.
const OVN: &str = "\n[ovn]\nnorthbound = \"unix:nb.sock\"\nmanaged = true\ngateway_chassis = [\"gw1\", \"gw2\"]\n\
    [ovn.localnet]\nnetwork = \"physnet1\"\naddress = \"198.51.100.2\"\nprefix = 24\ngateway = \"198.51.100.254\"\n";

/// A small site on OVN.
pub(crate) const SITE: &str = "name = \"lab\"\n[midonet]\nembedded = true\nmanaged = true\n\
    [ovn]\nnorthbound = \"unix:nb.sock\"\nmanaged = true\ngateway_chassis = \"gw1\"\n";

/// Returns an example whose site has `[ovn]` as well. Its hosts' network carries OVN's tunnels too.
pub(crate) fn example(name: &str) -> Project {
    let mut project = Project::example(name);
    let text = format!("underlay_mtu = 1600\n{}{OVN}", project.site.text());
    project.site = Source::new("site.toml", text);
    project
}

/// Compiles a project, and lowers it to rows, which the checker accepts.
pub(crate) fn rows(project: &Project) -> (Compiled, Topology) {
    let input = Input { site: &project.site, allocated: Allocated::Nothing, tenants: &project.tenants };
    let compiled = compile(input).unwrap_or_else(|found| panic!("{found:#?}"));
    let locations = Locations::new(input.sources().into_iter());
    let rows = lower(&compiled.site, &compiled.tenants, &locations);
    assert_eq!(lint::check(&compiled.site.name.value, &rows), []);
    (compiled, rows)
}

/// Writes rows as people read them: a paragraph for each, with its holder and its columns.
pub(crate) fn shown(rows: &Topology) -> String {
    let mut text = String::new();
    for entry in rows.entries() {
        let holder =
            row_of(entry).holder.as_ref().map(|holder| format!(" in {}.{}", holder.row, holder.column));
        text += &format!("{} {}{}\n", row_of(entry).table, entry.key, holder.unwrap_or_default());
        // The key and the site are in every row.
        for (column, value) in row_of(entry).columns.iter().filter(|(name, _)| *name != "external_ids") {
            text += &format!("    {column} = {value}\n");
        }
    }
    text
}

/// Returns the row of an entry.
pub(crate) fn row_of(entry: &Entry) -> &Row {
    entry.object.row().unwrap()
}

/// Changes the row of an entry.
pub(crate) fn change_row(entry: &mut Entry, change: impl FnOnce(&mut Row)) {
    let Object::Row(row) = &mut entry.object else { panic!("{} is no row", entry.key) };
    change(row);
}
