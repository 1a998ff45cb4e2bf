"""What a specification asks of one kind of place as CEL: its rules (`rules.cel`) and its exemptions.

What CEL cannot say exactly is listed as not enforceable; an approximation is never written.
"""
