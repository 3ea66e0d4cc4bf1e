//! temporary
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let dir = tempfile::tempdir_in(".").unwrap();
    let rt = tokio::runtime::Runtime::new().unwrap();
    let r = rt.block_on(mrx::bench::commits::run(dir.path(), a[1].parse().unwrap(), a[2].parse().unwrap(), 20)).unwrap();
    println!("{}", serde_json::to_string(&r).unwrap());
    let git = dir.path().join("repos/projects/mrx-bench.git");
    let out = std::process::Command::new("git").arg("-C").arg(&git).args(["fsck","--strict"]).output().unwrap();
    println!("fsck {:?} {}", out.status, String::from_utf8_lossy(&out.stderr).lines().take(3).collect::<Vec<_>>().join("|"));
    let out = std::process::Command::new("git").arg("-C").arg(&git).args(["log","-2","state"]).output().unwrap();
    println!("{}", String::from_utf8_lossy(&out.stdout));
}
