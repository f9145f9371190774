package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a file, in bytes: ten thousand targets fit.
const maxFile = 4 << 20

// File is a configuration file: settings of the process and of every target,
// and the targets with their own.
type File struct {
	Settings []Setting
	Targets  []Target
}

// ParseFile reads YAML: a mapping of settings, with the targets as a list under
// "targets". Each is a mapping with a "host", or a string in the form of
// [ParseTarget]. Values are taken as they are written, so that 0660 is no
// number; a list of values is joined with commas, and a setting without value
// counts as absent. name is for messages.
func ParseFile(name string, data []byte) (*File, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFile)
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &File{}, nil // empty, or comments
	case err != nil:
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if dec.Decode(&yaml.Node{}) != io.EOF {
		return nil, fmt.Errorf("%s: more than one document", name)
	}
	f := &File{}
	root := doc.Content[0]
	if root.Tag == "!!null" {
		return f, nil
	}
	settings, err := mapping(name, root, func(key string, value *yaml.Node) (bool, error) {
		if key != "targets" {
			return false, nil
		}
		targets, err := parseTargets(name, value)
		f.Targets = targets
		return true, err
	})
	f.Settings = settings
	return f, err
}

// mapping reads the settings of a mapping. special is asked first.
func mapping(file string, n *yaml.Node, special func(key string, value *yaml.Node) (bool, error)) ([]Setting, error) {
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: want \"name: value\" lines", file, n.Line)
	}
	var settings []Setting
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		place := fmt.Sprintf("%s:%d", file, key.Line)
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			return nil, fmt.Errorf("%s: want the name of a setting", place)
		}
		if seen[key.Value] {
			return nil, fmt.Errorf("%s: %q is set twice", place, key.Value)
		}
		seen[key.Value] = true
		if done, err := special(key.Value, value); err != nil {
			return nil, err
		} else if done || value.Tag == "!!null" {
			continue
		}
		text, err := scalar(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %s %w", place, key.Value, err)
		}
		settings = append(settings, Setting{key.Value, text, place})
	}
	return settings, nil
}

func parseTargets(file string, n *yaml.Node) ([]Target, error) {
	if n.Tag == "!!null" {
		return nil, nil
	}
	if n.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("%s:%d: want a list of targets", file, n.Line)
	}
	var targets []Target
	for _, item := range n.Content {
		item = resolve(item)
		place := fmt.Sprintf("%s:%d", file, item.Line)
		t := Target{Place: place}
		var err error
		if item.Kind == yaml.ScalarNode {
			if t, err = ParseTarget(item.Value); err != nil {
				return nil, fmt.Errorf("%s: %w", place, err)
			}
			t.Place = place
			for i := range t.Settings {
				t.Settings[i].Place = place
			}
		} else {
			t.Settings, err = mapping(file, item, func(key string, value *yaml.Node) (bool, error) {
				if key == "host" && value.Kind == yaml.ScalarNode && value.Tag != "!!null" {
					t.Addr = value.Value
				}
				return key == "host", nil
			})
			if err == nil && t.Addr == "" {
				err = fmt.Errorf("%s: the target has no host", place)
			}
		}
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// scalar returns a value as it was written.
func scalar(n *yaml.Node) (string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, nil
	case yaml.SequenceNode:
		var words []string
		for _, item := range n.Content {
			if item = resolve(item); item.Kind != yaml.ScalarNode {
				return "", errors.New("is a list of more than words")
			}
			words = append(words, item.Value)
		}
		return strings.Join(words, ","), nil
	}
	return "", errors.New("is no single value")
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}
