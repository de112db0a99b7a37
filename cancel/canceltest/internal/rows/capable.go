package rows

import (
	"errors"
	"fmt"

	"example.com/ess/cancel"
)

// Capabilities are those of a repository; what it lacks is nil.
type Capabilities struct {
	Children cancel.ChildCanceller
	Tree     cancel.TreeCanceller
	Settler  cancel.Settler
	Ender    cancel.ParentEnder
	Lister   cancel.CancellingLister
	Causes   cancel.CauseReader
}

// CapabilitiesOf returns the capabilities of a repository.
func CapabilitiesOf(repo cancel.Repository) (c Capabilities) {
	c.Children, _ = repo.(cancel.ChildCanceller)
	c.Tree, _ = repo.(cancel.TreeCanceller)
	c.Settler, _ = repo.(cancel.Settler)
	c.Ender, _ = repo.(cancel.ParentEnder)
	c.Lister, _ = repo.(cancel.CancellingLister)
	c.Causes, _ = repo.(cancel.CauseReader)
	return c
}

// Lacks returns the error with which a wrapper declines a capability that what it wraps
// does not have.
func Lacks(capability string) error {
	return fmt.Errorf("canceltest: the wrapped repository is no %s: %w", capability, errors.ErrUnsupported)
}
