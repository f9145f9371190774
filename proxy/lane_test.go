package proxy

import "testing"

func TestLane(t *testing.T) {
	one, few := new(loop), new(loop)
	var commands commandCount
	a := lane{spread: one, gathered: few}
	for _, step := range []struct {
		each int // commands a read
		want *loop
		many bool
	}{
		{1, one, false}, {64, few, true}, {4, few, true}, {3, nil, true}, {1, one, false}, {2, nil, false}, {0, one, false},
	} {
		for i := range laneReads {
			commands.add(step.each)
			switch got := a.read(&commands); {
			case i < laneReads-1 && got != nil:
				t.Fatalf("%d a read: is asked behind %d reads", step.each, i+1)
			case i == laneReads-1 && got != step.want:
				t.Errorf("%d a read: another loop", step.each)
			}
		}
		if a.many != step.many {
			t.Errorf("%d a read: many is %v", step.each, a.many)
		}
	}
	for _, a := range []lane{{}, {spread: one, gathered: one}} {
		for range 2 * laneReads {
			if commands.add(64); a.read(&commands) != nil {
				t.Fatal("has another loop to go to")
			}
		}
		if !a.many {
			t.Error("64 a read are not many")
		}
	}
}
