"""The examples do what their READMEs say."""
