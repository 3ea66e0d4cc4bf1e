//! Bodies that are no push: broken packs, packs that lie, and packs that are small and mean much.

use git2::{ObjectType, Oid};
use mrx::state::layout::STATE_REF;

use super::bombs::{self, MIB, commit_of};
use super::craft::{
    BLOB, COMMIT, Packed, TREE, copying_delta, deflated, entry_header, gzipped, id_of, inserting_delta, line,
    pack, pack_claiming, push_of, request,
};
use super::{Attack, How, Site};

fn good(site: &Site) -> (Oid, Vec<Packed>) {
    bombs::good(&site.craft, site.tip)
}

fn of_blob(site: &Site, blob: Oid, objects: Vec<Packed>) -> How {
    How::Body(bombs::of_blob(&site.craft, site.tip, blob, objects))
}

fn without(site: &Site, index: usize) -> How {
    let (commit, mut objects) = good(site);
    objects.remove(index);
    How::Body(push_of(site.tip, commit, &pack(&objects)))
}

/// A good push's pack, spoiled.
fn spoiled(site: &Site, spoil: impl FnOnce(&mut Vec<u8>)) -> How {
    let (commit, objects) = good(site);
    let mut bytes = pack(&objects);
    spoil(&mut bytes);
    How::Body(push_of(site.tip, commit, &bytes))
}

fn raw(body: &[u8]) -> How {
    How::Body(body.to_vec())
}

pub const PACKS: &[Attack] = &[
    ("nothing", "operator", "hung up", |_| raw(b"")),
    ("no lines", "operator", "bad line length", |_| raw(b"zzzz")),
    ("a line longer than any", "operator", "bad line length", |_| raw(b"ffff")),
    ("a line that ends early", "operator", "hung up", |_| raw(b"00a0 0000")),
    ("a line of three bytes", "operator", "bad line length", |_| raw(b"0003")),
    ("words that are no move", "operator", "expected old/new/ref", |_| {
        raw(&[line(b"hello world").as_slice(), b"0000"].concat())
    }),
    ("a ref without a name", "operator", "ng ", |site| {
        let (commit, objects) = good(site);
        How::Body(request(&[(site.tip.to_string(), commit.to_string(), String::new())], &pack(&objects)))
    }),
    ("a ref outside of refs/", "operator", "ng ", |site| {
        let (commit, objects) = good(site);
        How::Body(request(&[("0".repeat(40), commit.to_string(), "HEAD".into())], &pack(&objects)))
    }),
    ("a ref above its folder", "operator", "ng ", |site| {
        let (commit, objects) = good(site);
        let name = "refs/heads/../../../../objects/info/alternates";
        How::Body(request(&[("0".repeat(40), commit.to_string(), name.into())], &pack(&objects)))
    }),
    ("one ref twice", "operator", "ng ", |site| {
        let (commit, objects) = good(site);
        let to = (site.tip.to_string(), commit.to_string(), STATE_REF.to_owned());
        How::Body(request(&[to.clone(), to], &pack(&objects)))
    }),
    ("2,000 refs", "operator", "ng ", |site| {
        let (commit, objects) = good(site);
        let to = |at: usize| ("0".repeat(40), commit.to_string(), format!("refs/heads/b{at}"));
        How::Body(request(&(0..2000).map(to).collect::<Vec<_>>(), &pack(&objects)))
    }),
    ("a push from where the branch never was", "operator", "ng ", |site| {
        let (commit, objects) = good(site);
        How::Body(push_of(commit, commit, &pack(&objects)))
    }),
    ("a deletion", "operator", "ng ", |site| How::Body(push_of(site.tip, Oid::ZERO_SHA1, b""))),
    ("a shallow push that hides its parent", "operator", "ng ", |site| {
        let tree = site.craft.repo.find_commit(site.tip).unwrap().tree_id();
        let gone = Oid::from_str(&"7".repeat(40)).unwrap();
        let (commit, text) = commit_of(tree, gone);
        let body = push_of(site.tip, commit, &pack(&[Packed::Whole(COMMIT, text)]));
        How::Body([line(format!("shallow {commit}").as_bytes()), body].concat())
    }),
    ("no pack", "operator", "unpack", |site| How::Body(push_of(site.tip, good(site).0, b""))),
    ("half a pack", "operator", "unpack", |site| spoiled(site, |pack| pack.truncate(pack.len() / 2))),
    ("a pack without its sum", "operator", "unpack", |site| {
        spoiled(site, |pack| pack.truncate(pack.len() - 20))
    }),
    ("a pack with a wrong sum", "operator", "unpack", |site| {
        spoiled(site, |pack| *pack.last_mut().unwrap() ^= 1)
    }),
    ("a flipped bit", "operator", "unpack", |site| spoiled(site, |pack| pack[20] ^= 1)),
    ("bytes behind the pack", "operator", "unpack", |site| spoiled(site, |pack| pack.extend([7; 1000]))),
    ("a pack of version 9", "operator", "unpack", |site| spoiled(site, |pack| pack[7] = 9)),
    ("no signature of a pack", "operator", "unpack", |site| spoiled(site, |pack| pack[0] = b'K')),
    ("an empty pack", "operator", "ng ", |site| How::Body(push_of(site.tip, good(site).0, &pack(&[])))),
    ("a pack that says it has four billion objects", "operator", "unpack", |site| {
        let (commit, objects) = good(site);
        How::Body(push_of(site.tip, commit, &pack_claiming(u32::MAX, &objects)))
    }),
    ("a pack that says it has one object", "operator", "unpack", |site| {
        let (commit, objects) = good(site);
        How::Body(push_of(site.tip, commit, &pack_claiming(1, &objects)))
    }),
    ("an object that says it has an exabyte", "operator", "unpack", |site| {
        let mut bytes = entry_header(BLOB, 1 << 60);
        bytes.extend(deflated(b"small"));
        How::Body(push_of(site.tip, good(site).0, &pack(&[Packed::Raw(bytes)])))
    }),
    ("a tree that says it has a gigabyte", "operator", "unpack", |site| {
        let mut bytes = entry_header(TREE, 1 << 30);
        bytes.extend(deflated(b"small"));
        How::Body(push_of(site.tip, good(site).0, &pack(&[Packed::Raw(bytes)])))
    }),
    ("an object of a kind that is none", "operator", "unpack", |site| {
        How::Body(push_of(site.tip, good(site).0, &pack(&[Packed::Whole(5, b"x".to_vec())])))
    }),
    ("no zlib", "operator", "unpack", |site| {
        let bytes = [entry_header(BLOB, 5), b"hello".to_vec()].concat();
        How::Body(push_of(site.tip, good(site).0, &pack(&[Packed::Raw(bytes)])))
    }),
    ("a missing blob", "operator", "ng ", |site| without(site, 0)),
    ("a missing commit", "operator", "ng ", |site| without(site, 1)),
    ("a missing folder", "operator", "ng ", |site| without(site, 2)),
    ("a missing root", "operator", "ng ", |site| without(site, 3)),
    ("a missing parent", "operator", "ng ", |site| {
        let tree = site.craft.repo.find_commit(site.tip).unwrap().tree_id();
        let (commit, text) = commit_of(tree, Oid::from_str(&"7".repeat(40)).unwrap());
        How::Body(push_of(site.tip, commit, &pack(&[Packed::Whole(COMMIT, text)])))
    }),
    ("a delta on nothing", "operator", "unpack", |site| {
        let delta = inserting_delta(10, b"name: x\n");
        let nothing = Oid::from_str(&"7".repeat(40)).unwrap();
        of_blob(site, id_of(ObjectType::Blob, b"name: x\n"), vec![Packed::Delta(nothing, delta)])
    }),
    ("a delta on itself", "operator", "unpack", |site| {
        let id = id_of(ObjectType::Blob, b"name: x\n");
        of_blob(site, id, vec![Packed::Delta(id, inserting_delta(8, b"name: x\n"))])
    }),
    ("a delta that copies behind its base's end", "operator", "unpack", |site| {
        let base = Packed::Whole(BLOB, b"small".to_vec());
        let delta = Packed::Delta(id_of(ObjectType::Blob, b"small"), copying_delta(5, &[MIB]));
        of_blob(site, id_of(ObjectType::Blob, b"x"), vec![base, delta])
    }),
    ("a delta that makes an exabyte", "operator", "unpack", |site| {
        let base = Packed::Whole(BLOB, b"small".to_vec());
        let mut delta = vec![5];
        delta.extend([0xff; 8]);
        delta.push(1);
        of_blob(
            site,
            id_of(ObjectType::Blob, b"x"),
            vec![base, Packed::Delta(id_of(ObjectType::Blob, b"small"), delta)],
        )
    }),
    ("200 MiB of zeros", "operator", "bytes", |site| {
        How::Body(bombs::zeros(&site.craft, site.tip, 200 * MIB))
    }),
    ("15 MiB that no zlib makes smaller", "operator", "bytes", |site| {
        How::Body(bombs::noise(&site.craft, site.tip, 15 * MIB))
    }),
    ("a delta that makes 400 MiB", "operator", "unpack", |site| {
        How::Body(bombs::wide_delta(&site.craft, site.tip, 400))
    }),
    ("a small file whose delta rests on 200 MiB", "operator", "unpack", |site| {
        How::Body(bombs::huge_in_the_middle(&site.craft, site.tip, 200))
    }),
    ("a tree of 100 MiB by deltas", "operator", "unpack", |site| How::Body(bombs::huge_tree(site.tip))),
    ("20,000 deltas on one another", "operator", "schedules/x.yaml", |site| {
        How::Body(bombs::deep_deltas(&site.craft, site.tip, 20_000))
    }),
    ("100,000 objects that nothing needs", "operator", "ng ", |site| {
        let (commit, mut objects) = good(site);
        objects.extend((0..100_000).map(|at: u32| Packed::Whole(BLOB, at.to_be_bytes().to_vec())));
        How::Body(push_of(site.tip, commit, &pack(&objects)))
    }),
    ("a body of more than 16 MiB", "operator", "a push sends at most", |site| {
        How::Body(push_of(site.tip, site.tip, &vec![7; 17 * MIB]))
    }),
    ("a body that says it is gzip", "operator", "cannot be read", |_| How::Gzip(b"no gzip".to_vec())),
    ("gzip that ends early", "operator", "cannot be read", |_| {
        let mut body = gzipped(&[7; 10_000]);
        body.truncate(20);
        How::Gzip(body)
    }),
    ("gzip of a gigabyte's sort", "operator", "a push sends at most", |_| {
        How::Gzip(gzipped(&vec![0; 100 * MIB]))
    }),
];
