package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
)

// effects is a file with one line for each fact: the effect and the fact's identity in one write.
type effects struct {
	file     *os.File
	ids      map[string]bool
	versions map[string]int64
}

func openEffects(path string) (*effects, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	e := &effects{file: file, ids: map[string]bool{}, versions: map[string]int64{}}
	end, err := e.load()
	if err == nil {
		// A line that a crash cut off was not acknowledged.
		err = file.Truncate(end)
	}
	if err == nil {
		_, err = file.Seek(end, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return e, nil
}

// load reads the whole lines and returns their length.
func (e *effects) load() (int64, error) {
	var end int64
	lines := bufio.NewReader(e.file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return 0, err
		}
		var known fact
		if err := json.Unmarshal(line, &known); err != nil {
			return 0, err
		}
		e.remember(&known)
		end += int64(len(line))
	}
}

// Apply applies a fact; false for one that was applied before.
func (e *effects) Apply(f *fact) (bool, error) {
	// A fact that was published again after a disaster may have another id, but not another version.
	if e.ids[f.ID] || f.Version <= e.versions[f.Subject] {
		return false, nil
	}
	line, err := json.Marshal(f)
	if err != nil {
		return false, err
	}
	if _, err := e.file.Write(append(line, '\n')); err != nil {
		return false, err
	}
	if err := e.file.Sync(); err != nil {
		return false, err
	}
	e.remember(f)
	return true, nil
}

func (e *effects) remember(f *fact) {
	e.ids[f.ID] = true
	e.versions[f.Subject] = f.Version
}

// Close closes the file.
func (e *effects) Close() error { return e.file.Close() }
