package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
)

// A connector makes connections that keep their statements: to read one takes SQLite
// longer than to carry out most of those here.
type connector struct {
	driver.Connector
	setup string // what a new connection carries out first
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	bare, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn := bare.(driverConn)
	if _, err := conn.ExecContext(ctx, c.setup, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &keeper{conn, map[string]driverStmt{}}, nil
}

// A driverConn has of the driver's connection what database/sql uses.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.SessionResetter
	driver.Validator
}

type driverStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// A keeper is a connection that keeps a statement, by its text, for the next time. The
// texts in this package are few, and none is used again before its rows are closed.
type keeper struct {
	driverConn
	statements map[string]driverStmt
}

func (k *keeper) statement(ctx context.Context, text string) (driverStmt, error) {
	if s, ok := k.statements[text]; ok {
		return s, nil
	}
	s, err := k.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	k.statements[text] = s.(driverStmt)
	return k.statements[text], nil
}

func (k *keeper) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	s, err := k.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args)
}

func (k *keeper) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := k.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args)
}

func (k *keeper) Close() error {
	var errs []error
	for _, s := range k.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, k.driverConn.Close())...)
}
