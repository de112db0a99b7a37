package explore

import (
	"hash/maphash"
	"math/bits"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A digest is a hash of 128 bits, so that two situations that differ are as good as
// never taken for one. It does not outlive the process.
type digest struct{ hi, lo uint64 }

// add returns the digest of what d has seen and then x.
func (d digest) add(x uint64) digest {
	return digest{
		hi: mixed(d.hi ^ (x + 0x9e3779b97f4a7c15)),
		lo: mixed(d.lo + bits.RotateLeft64(x, 31)*0xd6e8feb86659fd93 + 0xa0761d6478bd642f),
	}
}

func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (d digest) mix(x digest) digest { return d.add(x.hi).add(x.lo) }

// plus is for sets: it does not depend on the order.
func (d digest) plus(x digest) digest { return digest{d.hi + x.hi, d.lo + x.lo} }

var textSeed = maphash.MakeSeed()

func (d *digest) text(s string) {
	if s == "" {
		*d = d.add(0)
		return
	}
	*d = d.add(maphash.String(textSeed, s)).add(uint64(len(s)))
}

func (d *digest) error(err error) {
	if err == nil {
		*d = d.add(1)
	} else {
		d.text(err.Error())
	}
}

func (d *digest) request(r lifecycle.Request) {
	*d = d.add(uint64(r.ID)).add(uint64(r.Parent)).add(uint64(r.Attempt)<<24 | uint64(r.Kind)<<16 | uint64(r.State)<<8 | uint64(r.Outcome))
	if !r.CheckedIn.IsZero() {
		*d = d.add(uint64(r.CheckedIn.UnixNano()))
	}
	d.text(r.Version)
}

func (d *digest) change(ch cancel.Change) {
	d.request(ch.Old)
	d.request(ch.New())
	*d = d.add(uint64(ch.Trigger))
	d.cause(ch.Cause)
}

func (d *digest) cause(c cancel.Cause) {
	*d = d.add(uint64(c.Root)).add(uint64(c.Time.UnixNano()))
	d.text(c.Actor)
	d.text(c.Reason)
}

func (d *digest) query(q cancel.ChildQuery) {
	for _, id := range q.Parents {
		*d = d.add(uint64(id))
	}
	*d = d.add(uint64(q.States)).add(uint64(q.After.Parent)).add(uint64(q.After.ID)).add(uint64(q.Limit))
}

func (d *digest) requests(page []lifecycle.Request) {
	for _, r := range page {
		d.request(r)
	}
}

func (d *digest) changes(changes []cancel.Change) {
	for _, ch := range changes {
		d.change(ch)
	}
}

func (d *digest) cursors(cursors []cancel.Cursor) {
	for _, c := range cursors {
		*d = d.add(uint64(c.Parent)).add(uint64(c.ID))
	}
}

func (d *digest) bools(all []bool) {
	for _, yes := range all {
		if yes {
			*d = d.add(1)
		} else {
			*d = d.add(2)
		}
	}
}
