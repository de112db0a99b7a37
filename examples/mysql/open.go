package mysql

import (
	"database/sql"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// Open returns connections to the database that dsn names, with the settings that a [Store]
// needs, whatever dsn and the server say of these.
func Open(dsn string) (*sql.DB, error) {
	cfg, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if err := configure(cfg); err != nil {
		return nil, err
	}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// configure makes the settings. What goes wrong without one shows TestSettings.
func configure(cfg *driver.Config) error {
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	cfg.ParseTime = true
	cfg.Loc = time.UTC                              // no hour is there twice
	cfg.ClientFoundRows = true                      // an UPDATE tells how many rows it has found, not how many it has made different
	cfg.InterpolateParams = true                    // a statement is sent as it is, not prepared, executed and closed
	cfg.MaxAllowedPacket = 0                        // ask the server, which closes the connection if a statement is too long for it
	cfg.Params["autocommit"] = "1"                  // outside of a transaction a write lasts, and a read sees what is there now
	cfg.Params["tx_isolation"] = "'READ-COMMITTED'" // lock the rows that are found, not the gaps between; MySQL 8: transaction_isolation
	cfg.Params["sql_mode"] = "'STRICT_ALL_TABLES'"  // what a column cannot keep is an error, and nothing else is kept instead
	return cfg.Apply(driver.Charset("utf8mb4", "")) // what is called utf8 has no emoji
}
